//! The platform against the real world: one executable, so that the world is linked once.

mod cache;
mod ledger;
mod objects;
mod proxy;
mod store;
