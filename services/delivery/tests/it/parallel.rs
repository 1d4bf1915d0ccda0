//! Many programs of one court at the same deliveries (fault F15): each gets what it is told, and one receipt stands.

use std::collections::BTreeSet;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use futures::future::join_all;
use probity_delivery::orders::OrderDocument;
use probity_domain::{CaseId, DeliveryId, EvidenceId};
use probity_platform::ledger::Appended;
use probity_proto::ledger::DeliveryEvent;
use probity_proto::v1::court_client::CourtClient;
use probity_proto::v1::{
    AcknowledgeRequest, DeliverySummary, FetchDeliveryRequest, ListDeliveriesRequest,
};
use sha2::{Digest as _, Sha256};
use tokio_stream::StreamExt as _;
use tonic::transport::{Channel, Endpoint};

use crate::grpc::{Served, with};
use crate::world::{Platform, tenant};

const CLIENTS: usize = 32;
/// Of a listing: several pages, and orders that do not end where pages do.
const PAGE_SIZE: u32 = 2;
/// Beside the one whose package the platform made.
const MORE: u8 = 4;

/// Deliveries to the court that pulls, as if they had been asked for and prepared: packages of different bytes, in two
/// orders.
async fn prepare_more(platform: &Platform) {
    let lines = (0..MORE).map(|n| {
        let evidence = EvidenceId {
            submission: platform.evidence.submission,
            item: 100 + u32::from(n),
        };
        (DeliveryId::new(platform.now(), [n; 10]), evidence)
    });
    let lines: Vec<_> = lines.collect();
    let (recipient, owner) = (&platform.hangzhou.id, tenant("acme"));
    let case = CaseId::parse("(2026)X1").unwrap();
    for (n, ordered) in (0..).zip(lines.chunks(usize::from(MORE - 1))) {
        let order = DeliveryId::new(platform.now(), [200 + n; 10]);
        let document = OrderDocument::new(order, recipient, &owner, &case, ordered);
        document.write(&*platform.truth).await.unwrap();
        for (id, evidence) in ordered {
            let object = format!("packages/{id}");
            let bytes = Bytes::from(id.to_string().repeat(4_000));
            let requested = DeliveryEvent::Requested {
                evidence: evidence.to_string(),
                recipient: recipient.to_string(),
                tenant: owner.to_string(),
                case: case.to_string(),
            };
            let prepared = DeliveryEvent::Prepared {
                object: object.clone(),
                size_bytes: bytes.len() as u64,
                package_sha256: hex::encode(Sha256::digest(&bytes)),
                content_sha3_256: "04".repeat(32),
                part_bytes: vec![],
            };
            platform.work.put(&object, bytes).await.unwrap();
            let mut history = platform.ledger.read(&id.to_string()).await.unwrap();
            for event in [requested, prepared] {
                let cause = order.to_string();
                let appended = platform
                    .ledger
                    .append(&mut history, "role:test", &cause, event);
                assert_eq!(appended.await.unwrap(), Appended::Appended);
            }
        }
    }
}

/// One program of the court, with a connection and a credential of its own.
struct Client<'a> {
    served: &'a Served,
    secret: String,
    court: CourtClient<Channel>,
}

impl<'a> Client<'a> {
    async fn connect(served: &'a Served) -> Self {
        let edge = Endpoint::new(served.url.clone()).unwrap();
        Self {
            served,
            secret: served.credential_of(&served.platform.hangzhou).await,
            court: CourtClient::new(edge.connect().await.unwrap()),
        }
    }

    /// All pages of a listing: nothing twice.
    async fn list(&mut self, state: &str) -> Vec<DeliverySummary> {
        let mut all = Vec::new();
        let mut request = ListDeliveriesRequest {
            state: state.to_owned(),
            page_size: PAGE_SIZE,
            ..ListDeliveriesRequest::default()
        };
        loop {
            let page = self.court.list(with(&self.secret, request.clone())).await;
            let page = page.unwrap().into_inner();
            assert!(page.deliveries.len() <= PAGE_SIZE as usize);
            all.extend(page.deliveries);
            if page.next_page.is_empty() {
                break;
            }
            request.page = page.next_page;
        }
        assert_eq!(all.len(), ids(&all).len(), "{state:?}: one is listed twice");
        all
    }

    async fn fetch(&mut self, delivery_id: &str) -> Vec<u8> {
        let request = FetchDeliveryRequest {
            delivery_id: delivery_id.to_owned(),
            ..FetchDeliveryRequest::default()
        };
        let chunks = self.court.fetch(with(&self.secret, request)).await.unwrap();
        let (mut chunks, mut bytes) = (chunks.into_inner(), Vec::new());
        while let Some(chunk) = chunks.next().await {
            bytes.extend_from_slice(&chunk.unwrap().data);
        }
        bytes
    }

    /// Hands in a receipt of its own making and answers it.
    async fn acknowledge(&mut self, delivery_id: &str) -> String {
        let platform = &self.served.platform;
        let id = DeliveryId::parse(delivery_id).unwrap();
        let delivery = platform.courier.delivery(id).await.unwrap();
        let receipt = platform.hangzhou.receipt(&delivery, "receipt_only");
        let signed = platform.hangzhou.sign(&receipt);
        let request = AcknowledgeRequest {
            delivery_id: delivery_id.to_owned(),
            receipt: STANDARD.decode(&signed.receipt).unwrap().into(),
            signature: STANDARD.decode(&signed.signature).unwrap().into(),
        };
        let done = self.court.acknowledge(with(&self.secret, request)).await;
        assert_eq!(done.unwrap().into_inner().state, "acknowledged");
        signed.signature
    }

    /// Takes and acknowledges all there is; answers the deliveries, each with its receipt's signature.
    async fn work(mut self) -> Vec<(String, String)> {
        let mut worked = Vec::new();
        for summary in self.list("").await {
            let bytes = self.fetch(&summary.delivery_id).await;
            assert_eq!(bytes.len() as u64, summary.size_bytes);
            assert_eq!(hex::encode(Sha256::digest(&bytes)), summary.sha256);
            let signature = self.acknowledge(&summary.delivery_id).await;
            worked.push((summary.delivery_id, signature));
            let done: BTreeSet<_> = worked.iter().map(|(id, _)| id.clone()).collect();
            assert!(ids(&self.list("open").await).is_disjoint(&done));
        }
        worked
    }
}

fn ids(listed: &[DeliverySummary]) -> BTreeSet<String> {
    listed.iter().map(|d| d.delivery_id.clone()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn clients_of_one_court_share_its_deliveries_without_harm() {
    let artifacts = vec![("page.html".to_owned(), b"a page".repeat(10_000))];
    let served = Served::with_artifacts(artifacts).await;
    prepare_more(&served.platform).await;
    let mut first = Client::connect(&served).await;
    let all = ids(&first.list("").await);
    assert_eq!(all.len(), 1 + usize::from(MORE));

    let clients = join_all((0..CLIENTS).map(|_| Client::connect(&served))).await;
    let worked = join_all(clients.into_iter().map(Client::work)).await;
    for deliveries in &worked {
        let taken: BTreeSet<_> = deliveries.iter().map(|(id, _)| id.clone()).collect();
        assert_eq!(taken, all, "a client was not told of one");
    }
    let handed_in: BTreeSet<_> = worked.concat().into_iter().collect();
    assert_eq!(handed_in.len(), CLIENTS * all.len(), "receipts differ");
    for id in &all {
        let delivery = DeliveryId::parse(id).unwrap();
        let (mut entered, mut standing) = (0, Vec::new());
        for event in served.platform.events(delivery).await {
            match event {
                DeliveryEvent::Entered { .. } => entered += 1,
                DeliveryEvent::Acknowledged { signature, .. } => standing.push(signature),
                _ => {}
            }
        }
        let [signature] = &standing[..] else {
            panic!("{id}: {} receipts stand", standing.len())
        };
        assert!(handed_in.contains(&(id.clone(), signature.clone())));
        assert_eq!(entered, 1, "{id}");
        let reads = served.platform.courier.reads(delivery, None, 100).await;
        assert_eq!(
            reads.unwrap().len(),
            CLIENTS,
            "{id}: every read is on record"
        );
    }
    assert_eq!(ids(&first.list("acknowledged").await), all);
    assert!(first.list("open").await.is_empty());
}
