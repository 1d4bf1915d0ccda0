//! Both gRPC edges of running processes, as a vendor's and a court's own client would use them.

use std::fs;

use probity_proto::v1::court_client::CourtClient;
use probity_proto::v1::vendor_client::VendorClient;
use probity_proto::v1::{FetchDeliveryRequest, ListDeliveriesRequest, StatusRequest};
use tonic::Request;

use crate::platform::{Platform, vendor_credential};

fn with<T>(credential: &str, message: T) -> Request<T> {
    let mut request = Request::new(message);
    let metadata = request.metadata_mut();
    let value = format!("Bearer {}", credential.trim());
    metadata.insert("authorization", value.parse().unwrap());
    metadata.insert("probity-legal-basis", "case".parse().unwrap());
    request
}

/// The vendor sees its evidence deposited; the court lists what it was sent, and gets the bytes it pulled before.
pub async fn both_edges_answer(platform: &Platform, numbers: &[String]) {
    let mut vendor = VendorClient::connect(platform.url("INTAKE_GRPC"))
        .await
        .unwrap();
    let request = StatusRequest {
        evidence_numbers: numbers.to_vec(),
        submission_id: String::new(),
    };
    let reply = vendor
        .status(with(&vendor_credential(platform), request))
        .await;
    let reply = reply.unwrap().into_inner();
    assert_eq!(reply.evidence.len(), numbers.len());
    assert!(reply.evidence.iter().all(|e| e.state == "deposited"));

    let mut court = CourtClient::connect(platform.url("DELIVERY_GRPC"))
        .await
        .unwrap();
    let credential = fs::read_to_string(platform.path("pulled/credential")).unwrap();
    let listed = court
        .list(with(&credential, ListDeliveriesRequest::default()))
        .await;
    let listed = listed.unwrap().into_inner().deliveries;
    assert_eq!(listed.len(), numbers.len());
    let request = FetchDeliveryRequest {
        delivery_id: listed[0].delivery_id.clone(),
        ..FetchDeliveryRequest::default()
    };
    let fetched = court.fetch(with(&credential, request)).await.unwrap();
    let (mut chunks, mut bytes) = (fetched.into_inner(), Vec::new());
    while let Some(chunk) = chunks.message().await.unwrap() {
        bytes.extend_from_slice(&chunk.data);
    }
    let pulled = format!("pulled/inbox/{}.p7m", listed[0].delivery_id);
    assert_eq!(bytes, fs::read(platform.path(&pulled)).unwrap());
}
