//! The extension module `farrier._farrier`: where configuration, processes, engine and bridge meet, and nowhere else do.

#![deny(unsafe_code)]

mod accounts;
mod addresses;
mod application;
mod command;
mod compose;
mod generations;
mod hooks;
mod host;
mod launch;
mod listening;
mod master;
mod recycling;
mod server;
mod worker;
mod worker_hooks;

/// The compiled half of the `farrier` package.
#[pyo3::pymodule(gil_used = false)]
mod _farrier {
    use pyo3::prelude::*;

    /// Runs the command line with these arguments (without the program's name) and returns the exit code.
    #[pyfunction]
    fn main(py: Python<'_>, arguments: Vec<std::ffi::OsString>) -> i32 {
        crate::command::run(py, &arguments)
    }

    #[pymodule_init]
    fn init(module: &Bound<'_, PyModule>) -> PyResult<()> {
        crate::launch::remember(module.py());
        module.add("__version__", env!("CARGO_PKG_VERSION"))
    }
}
