//! Rendering, from the outside: golden cases, and what holds for every config.

mod arbitrary;
mod goldens;
mod printing;
mod properties;
mod restricted;
mod world;
