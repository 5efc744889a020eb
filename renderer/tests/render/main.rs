//! Rendering, from the outside: golden cases, and what holds for every config.

mod arbitrary;
mod claims;
mod goldens;
mod printing;
mod properties;
mod restricted;
mod world;
