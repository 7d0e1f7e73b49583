//! Tests of the types of settings: what each accepts, and how it is written back.

mod authority;
mod bind_address;
mod bytes;
mod certificate_names;
mod duration;
mod host_name;
mod log_address;
mod proxy_host;
mod proxy_target;
mod rate;
mod server_url;
mod stats_address;
mod text_map;
mod trusted_peer;
