//! The wire: protobuf contracts, the table of subjects, the JSON documents at the edges and in object storage, and
//! their conversions into domain types. The only crate that knows serialised shapes.

pub mod clock;
pub mod format;
pub mod http;
pub mod ledger;
pub mod registry;
pub mod removal;
pub mod stored;
pub mod subjects;

/// Generated from `proto/probity/v1/*.proto` at build time.
pub mod v1 {
    #![expect(clippy::allow_attributes, reason = "generated code")]
    tonic::include_proto!("probity.v1");

    /// Encoded `FileDescriptorSet` of all the files, for gRPC reflection.
    pub const DESCRIPTOR: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/descriptor.bin"));
}
