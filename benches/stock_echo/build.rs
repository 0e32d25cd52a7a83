//! Generates the service as everybody does, but for protox, which spares one
//! the installation of protoc.

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let descriptors = protox::compile(["echo.proto"], ["."])?;
    tonic_prost_build::configure()
        .build_client(false)
        .compile_fds(descriptors)?;
    println!("cargo:rerun-if-changed=echo.proto");
    Ok(())
}
