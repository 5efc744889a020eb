//! The binary of the control plane.

use std::path::PathBuf;

use crate::go_module::Module;

const MODULE: Module = Module {
    name: "control-plane",
    what: "the control plane for tests (Kubernetes from Go modules), 7 to 15 minutes when Go's cache is cold",
    without_go: ", or set KUBEBUILDER_ASSETS to run only the tests that need no controllers",
};

/// Where the binary is, built first if need be.
pub fn binary() -> anyhow::Result<PathBuf> {
    Ok(MODULE.built()?.join("control-plane"))
}
