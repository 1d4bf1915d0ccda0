//! The role over its router and its gRPC service, on the object store in memory.

mod grpc;
mod reading;
mod submitting;
mod uploading;
mod world;
