//! The platform against the real world: one executable, so that the world is linked once.

mod bus;
mod cache;
mod edge;
mod fixture;
mod ledger;
mod objects;
mod proxy;
mod stage;
mod store;
