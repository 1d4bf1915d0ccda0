//! Hints over JetStream and questions over request/reply (design: the bus moves work and may lose it).

/// Connected NATS: publishes hints, answers and asks questions. Cheap to clone.
#[derive(Clone)]
pub struct Bus { }

impl Bus {
    /// Connects; keeps trying for ever in the background (`retry_on_initial_connect`), own inbox prefix per role.
    pub async fn connect(config: &BusConfig, role: &str) -> Result<Self>;

    /// Publishes a hint with trace context in its headers; `id` is the Nats-Msg-Id. Creates stream and consumer when
    /// they are missing. An error means the hint may be lost; callers whose work is durable go on.
    pub async fn tell<M: prost::Message>(&self, hint: &Hint, id: &str, message: &M) -> Result<()>;

    /// Asks a question and waits for the answer (bounded by the deadline).
    pub async fn ask<Q: prost::Message, A: prost::Message + Default>(&self, ask: &Ask, question: &Q, deadline: Duration) -> Result<A>;

    /// Answers questions until `shutdown`; queue group per role; bounded concurrency; a panic or error in `handler` becomes a Refusal the handler encodes.
    pub async fn answer<Q, A, F, Fut>(&self, ask: &Ask, shutdown: Shutdown, handler: F) -> Result<()>;
}
