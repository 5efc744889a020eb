//! The least that anybody could send: one server-side apply for each object, in an order in which all can succeed, as many
//! at once as [`reconciler::execute`] has, and nothing else. It looks at nothing and waits for nothing.

use crate::ground::Ground;
use crate::workload::Workload;
use anyhow::Context as _;
use futures::{StreamExt as _, TryStreamExt as _, stream};
use kube::Client;
use planner::kinds::{self, Kind};
use reconciler::cluster::{address, call};
use reconciler::execute::FIELD_MANAGER;
use renderer::Object;
use std::time::{Duration, Instant};

/// Of one tool and one kind order, as `execute` has it.
const AT_ONCE: usize = 8;
const ASK_EVERY: Duration = Duration::from_millis(100);

/// Applies everything; `tools_at_once` as `toolforge run --passes`. Making the objects is not timed.
pub async fn apply_all(ground: &Ground, workload: &Workload, tools_at_once: usize) -> anyhow::Result<Duration> {
    let platform = workload.platform_objects()?;
    let tools: Vec<_> = (0..workload.tools).map(|n| workload.objects(n)).collect::<Result<_, _>>()?;
    let begun = Instant::now();
    in_order(&ground.counted_client, &platform).await?;
    defined(&ground.counted_client).await?;
    let passes = stream::iter(tools).map(|objects| async move { in_order(&ground.counted_client, &objects).await });
    passes.buffer_unordered(tools_at_once).try_collect::<()>().await?;
    Ok(begun.elapsed())
}

async fn in_order(client: &Client, objects: &[Object]) -> anyhow::Result<()> {
    for together in objects.chunk_by(|a, b| kinds::order(&a.id) == kinds::order(&b.id)) {
        let applies: Vec<_> = together.iter().map(|object| apply(client, object)).collect();
        stream::iter(applies).buffer_unordered(AT_ONCE).try_collect::<()>().await?;
    }
    Ok(())
}

async fn apply(client: &Client, object: &Object) -> anyhow::Result<()> {
    let row = Kind::of_id(&object.id).context("a kind that is not in the table")?;
    let path = address::object(row, &object.id);
    call::apply(client, &path, FIELD_MANAGER, &object.value).await.with_context(|| object.id.to_string()).map(drop)
}

/// A definition takes the server an instant.
async fn defined(client: &Client) -> anyhow::Result<()> {
    let row = Kind::of("toolforge.org", "Tool").context("a row")?;
    while let Err(error) = call::get(client, &address::collection(row, None), None).await {
        anyhow::ensure!(error.code() == Some(404) || error.may_pass(), error);
        tokio::time::sleep(ASK_EVERY).await;
    }
    Ok(())
}
