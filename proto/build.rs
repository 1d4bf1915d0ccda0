//! Compiles the `.proto` files with a pure-Rust compiler at every build: generated code is never checked in, so it
//! cannot drift from its source.

use std::path::PathBuf;

use prost::Message as _;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let files = ["bus.proto", "roles.proto", "vendor.proto", "court.proto"]
        .map(|f| format!("probity/v1/{f}"));
    for file in &files {
        println!("cargo:rerun-if-changed={file}");
    }
    let set = protox::compile(&files, ["."])?;
    let out = PathBuf::from(std::env::var("OUT_DIR")?);
    std::fs::write(out.join("descriptor.bin"), set.encode_to_vec())?;
    tonic_prost_build::configure().bytes(".").compile_fds(set)?;
    Ok(())
}
