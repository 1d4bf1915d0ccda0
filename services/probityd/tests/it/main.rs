//! The whole platform as its users meet it: real processes over real servers.

mod config;
mod end_to_end;
mod faults;
mod platform;
mod process;
