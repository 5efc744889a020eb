//! Every pass as a value, for whoever listens beside logs, status and metrics. A listener delays no pass: what it does not
//! take in time, it misses, and the log says so.

use crate::pass::Decided;
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
}

/// Where passes are told.
pub type Listener = mpsc::Sender<Heard>;

/// A listener, and where it hears.
#[must_use]
pub fn listener() -> (Listener, mpsc::Receiver<Heard>) {
    mpsc::channel(WAITING)
}

pub(super) fn tell(listener: Option<&Listener>, tool: &ToolName, pass: Option<(Decided, Outcome)>) {
    let Some(listener) = listener else { return };
    let pass = pass.map(|(decided, outcome)| (decided.plan, outcome));
    match listener.try_send(Heard { tool: tool.clone(), pass }) {
        Ok(()) => {}
        Err(mpsc::error::TrySendError::Full(_)) => tracing::warn!(%tool, "nobody takes what is said of passes"),
        Err(mpsc::error::TrySendError::Closed(_)) => tracing::debug!(%tool, "nobody listens any more"),
    }
}
