//! Builds as a cluster runs them: the Job that we render, its own commands and arguments, with the stock lifecycle of the
//! Cloud Native Buildpacks, our buildpacks and our binary, against the real registry with a login; then the process that
//! we render, started by the launcher in the image. What no double can tell is whether those words are the right ones.

mod images;
mod one_machine;
mod stage;
mod tools;
