//! What delivery asks of others, as small traits: roles over the bus, courts' systems over HTTPS.

use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use probity_domain::{DeliveryId, EvidenceId};
use probity_platform::bus::Bus;
use probity_platform::objects::ByteStream;
use probity_platform::{Error, ErrorKind, Result};
use probity_proto::subjects::{ATTEST, DELIVERY_DUE, PROVE, STAMP};
use probity_proto::v1::{
    AttestReply, AttestRequest, DeliveryDue, Proof, ProveReply, ProveRequest, StampReply,
    StampRequest, attest_reply, prove_reply, stamp_reply,
};

use crate::answer::Answer;
use crate::endpoint::Endpoint;

/// Asks storage for the log's proof, and for how it keeps the evidence.
#[async_trait]
pub trait Prove: Send + Sync + 'static {
    /// The proof; `None` while the evidence is not deposited.
    async fn prove(&self, evidence: &EvidenceId) -> Result<Option<Proof>>;

    /// Storage's signed attestation of deposited evidence.
    async fn attest(&self, evidence: &EvidenceId) -> Result<Bytes>;
}

/// Asks timestamping for a token.
#[async_trait]
pub trait Stamp: Send + Sync + 'static {
    /// The TimeStampResp to a TimeStampReq, both DER.
    async fn stamp(&self, request: Vec<u8>) -> Result<Vec<u8>>;
}

/// Tells some process of this role that a delivery is due.
#[async_trait]
pub trait Hints: Send + Sync + 'static {
    /// `round` tells hints about different states of the delivery apart, `again` those about the same one whose taker
    /// is gone: a bus drops what it was told before.
    async fn due(&self, id: DeliveryId, round: usize, again: i64) -> Result<()>;
}

/// One push.
pub struct Parcel {
    pub delivery: DeliveryId,
    pub evidence: EvidenceId,
    pub recipient: String,
    pub size_bytes: u64,
    pub sha256: [u8; 32],
    /// Length of each envelope, in their order.
    pub part_bytes: Vec<u64>,
    pub body: ByteStream,
}

/// Sends packages to courts' systems.
#[async_trait]
pub trait Push: Send + Sync + 'static {
    /// Sends one package and tells how that ended. Never longer than [`Self::time_max`].
    async fn push(&self, endpoint: &Endpoint, tls_ca: Option<&str>, parcel: Parcel) -> Answer;

    /// The longest a push of this many bytes may take.
    fn time_max(&self, size_bytes: u64) -> Duration;
}

/// How long timestamping may take to answer.
const STAMP_TIMEOUT: Duration = Duration::from_secs(10);

/// How long storage may take to answer.
const PROVE_TIMEOUT: Duration = Duration::from_secs(15);

#[async_trait]
impl Prove for Bus {
    async fn prove(&self, evidence: &EvidenceId) -> Result<Option<Proof>> {
        let question = ProveRequest {
            evidence_number: evidence.to_string(),
        };
        match self
            .ask::<_, ProveReply>(&PROVE, &question, PROVE_TIMEOUT)
            .await
        {
            Ok(ProveReply {
                outcome: Some(prove_reply::Outcome::Proof(proof)),
            }) => Ok(Some(proof)),
            Ok(_) => Ok(None),
            Err(e) if e.kind == ErrorKind::NotFound => Ok(None),
            Err(e) => Err(e),
        }
    }

    async fn attest(&self, evidence: &EvidenceId) -> Result<Bytes> {
        let question = AttestRequest {
            evidence_number: evidence.to_string(),
        };
        let reply = self.ask::<_, AttestReply>(&ATTEST, &question, PROVE_TIMEOUT);
        match reply.await {
            Ok(AttestReply {
                outcome: Some(attest_reply::Outcome::Attestation(attestation)),
            }) => Ok(attestation.note),
            Ok(_) => Err(Error::internal("storage attested nothing")),
            // Another process of storage has proved it: this one is behind.
            Err(e) if e.kind == ErrorKind::NotFound => Err(Error::unavailable(e.detail)),
            Err(e) => Err(e),
        }
    }
}

#[async_trait]
impl Stamp for Bus {
    async fn stamp(&self, request: Vec<u8>) -> Result<Vec<u8>> {
        let question = StampRequest {
            requests: vec![request.into()],
        };
        let reply: StampReply = self.ask(&STAMP, &question, STAMP_TIMEOUT).await?;
        let responses = match reply.outcome {
            Some(stamp_reply::Outcome::Stamps(stamps)) => stamps.responses,
            _ => Vec::new(),
        };
        let [response] = responses.as_slice() else {
            return Err(Error::internal("timestamping gave other than one answer"));
        };
        Ok(response.to_vec())
    }
}

#[async_trait]
impl Hints for Bus {
    async fn due(&self, id: DeliveryId, round: usize, again: i64) -> Result<()> {
        let hint = DeliveryDue {
            delivery_id: id.to_string(),
            round: u32::try_from(round).unwrap_or(u32::MAX),
        };
        self.tell(&DELIVERY_DUE, &format!("{id}.{round}.{again}"), &hint)
            .await
    }
}
