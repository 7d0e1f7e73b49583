//! The extension module `farrier._farrier`, the only crate that uses configuration, processes, engine and bridge
//! together.

#![deny(unsafe_code)]

mod accounts;
mod acme;
mod addresses;
mod application;
mod certificates;
mod checking;
mod clients;
mod command;
mod compose;
mod configured;
mod console;
mod dev_certificate;
mod development;
mod embedding;
mod ending;
mod files;
mod filters;
mod forked;
mod gauges;
mod generations;
mod health_log;
mod hooks;
mod host;
mod import_nginx;
mod import_uwsgi;
mod importing;
mod last_words;
mod launch;
mod listening;
mod logging;
mod master;
mod measured;
mod observed;
mod orphan;
mod outlet;
mod painted;
mod place;
mod probing;
mod proxy_policies;
mod proxying;
mod recorder;
mod recycling;
mod resolver;
mod server;
mod shared_upstreams;
mod sites;
mod statistics;
mod sticking;
mod streams;
mod template;
mod test_exchange;
mod upstream_security;
mod upstreams;
mod worker;
mod worker_hooks;

/// The compiled half of the `farrier` package.
#[pyo3::pymodule(gil_used = false)]
mod _farrier {
    use pyo3::prelude::*;
    use pyo3::types::PyDict;

    /// Runs the command line with these arguments (without the program's name) and returns the exit code.
    #[pyfunction]
    fn main(py: Python<'_>, arguments: Vec<std::ffi::OsString>) -> PyResult<i32> {
        crate::ending::outcome(crate::command::run(py, &arguments))
    }

    /// Serves for a program that embeds the server: `read` returns its settings, at the start and at each `HUP`.
    #[pyfunction]
    fn embed(py: Python<'_>, read: Bound<'_, PyAny>) -> PyResult<i32> {
        crate::ending::outcome(crate::embedding::embed(py, &read))
    }

    /// Every setting and its default, typed as `farrier._configuration.Cfg` holds them.
    #[pyfunction]
    fn default_settings(py: Python<'_>) -> PyResult<Bound<'_, PyDict>> {
        crate::configured::default_settings(py)
    }

    #[pymodule_init]
    fn init(module: &Bound<'_, PyModule>) -> PyResult<()> {
        crate::launch::remember(module.py());
        module.add("__version__", env!("CARGO_PKG_VERSION"))
    }
}
