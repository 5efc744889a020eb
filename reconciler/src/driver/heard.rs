//! Every pass as a value, for whoever listens beside logs, status and metrics. A listener delays no pass: what it does not
//! take in time, it misses, and the log says so.

use planner::outcome::Outcome;
use planner::plan::Plan;
use renderer::ToolName;
use tokio::sync::mpsc;

/// So many passes may wait for a listener.
const WAITING: usize = 4096;

/// One pass that ended.
#[derive(Debug)]
pub struct Heard {
    /// Whose it was.
    pub tool: ToolName,
    /// What was decided and what came of it; none where the pass was given up.
    pub pass: Option<(Plan, Outcome)>,
    /// Registries were asked for it and have not answered: another pass follows by itself.
    pub asking: bool,
}

impl Heard {
    /// A pass that was given up.
    pub(super) fn given_up(tool: &ToolName) -> Self {
        Self { tool: tool.clone(), pass: None, asking: false }
    }
}

/// Where passes are told.
pub type Listener = mpsc::Sender<Heard>;

/// A listener, and where it hears.
#[must_use]
pub fn listener() -> (Listener, mpsc::Receiver<Heard>) {
    mpsc::channel(WAITING)
}

pub(super) fn tell(listener: Option<&Listener>, heard: Heard) {
    let Some(listener) = listener else { return };
    let tool = heard.tool.clone();
    match listener.try_send(heard) {
        Ok(()) => {}
        Err(mpsc::error::TrySendError::Full(_)) => tracing::warn!(%tool, "nobody takes what is said of passes"),
        Err(mpsc::error::TrySendError::Closed(_)) => tracing::debug!(%tool, "nobody listens any more"),
    }
}
