//! The loop of `toolforge run` on the sandbox: real git, real requests, and a cluster that answers at once. What hangs,
//! fights or takes the lease delays nobody else.

#[path = "driver/config.rs"]
mod config;
#[path = "driver/hosts.rs"]
mod hosts;
#[path = "driver/registries.rs"]
mod registries;
#[path = "driver/stage.rs"]
mod stage;
#[path = "driver/writers.rs"]
mod writers;
