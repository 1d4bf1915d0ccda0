//! The role over its router, on the object store in memory.

mod enrolment;
mod intents;
mod world;
