//! The codecs, one room per protocol. Each is sans-I/O: bytes in, values out.

pub mod h1;
