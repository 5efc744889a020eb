//! What containers say themselves. Nothing runs on the nodes of the other story, so here is an API server of our own making
//! whose pods have logs.

use crate::search::{Searcher, said};
use crate::stage::CHANNELS;
use crate::troubles::own;
use anyhow::ensure;
use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::Request;
use axum::http::StatusCode;
use axum::response::{IntoResponse as _, Response};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use futures::stream;
use renderer::platform::{Backend, Builds, Lifecycle};
use renderer::request::BUILD_ID;
use serde_json::{Value, json};
use std::convert::Infallible;
use std::path::Path;
use tests::program::Program;

/// So a log comes, with borders within every value.
const PIECE_BYTES: usize = 7;

#[tokio::test(flavor = "multi_thread")]
async fn no_log_gives_a_secret_away_that_its_reader_may_read() -> anyhow::Result<()> {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
    let server = format!("http://{}", listener.local_addr()?);
    let serves = tokio::spawn(async move { axum::serve(listener, Router::new().fallback(answer)).await });
    let folder = tempfile::tempdir()?;
    let kubeconfig = folder.path().join("kubeconfig");
    let cluster = json!([{"name": "c", "cluster": {"server": server}}]);
    let context = json!([{"name": "c", "context": {"cluster": "c", "user": "u"}}]);
    let config = json!({"apiVersion": "v1", "kind": "Config", "current-context": "c", "contexts": context, "clusters": cluster, "users": [{"name": "u", "user": {}}]});
    std::fs::write(&kubeconfig, config.to_string())?;
    let program = Program::with(Path::new(env!("CARGO_BIN_EXE_toolforge")), &kubeconfig, "c")?;
    let mut searcher = Searcher::default();
    CHANNELS.iter().filter(|row| own().any(|value| value == row.2)).for_each(|row| searcher.plant(row.0, row.2));
    for arguments in [
        &["logs", "a"][..],
        &["logs", "a", "--json"],
        &["logs", "a", "--follow"],
        &["logs", "a", "--build"],
        &["logs", "a", "--build", "--json"],
        &["builds", "--json"],
        &["builds", "-vvv"],
    ] {
        let ran = program.run(arguments).await?;
        ensure!(ran.code == 0 && ran.out.contains("***"), "{arguments:?}: {ran:#?}");
        let given = searcher.found(&format!("{}\n{}", ran.out, ran.err));
        ensure!(given.is_empty(), "{arguments:?} gives away {given:#?}");
    }
    serves.abort();
    Ok(())
}

/// Every value in every form, each on a line and all on one.
fn words() -> String {
    let forms: Vec<String> = own().flat_map(said).collect();
    format!("{}\n{}\n", forms.join("\n"), forms.join(""))
}

async fn answer(request: Request) -> Response {
    let list = |items: Value| json!({"metadata": {"resourceVersion": "9"}, "items": items});
    let found = match request.uri().path() {
        "/version" => json!({"gitVersion": "v1.36.3"}),
        "/api/v1/namespaces/toolforge/configmaps/toolforge-platform" => {
            let builds = Some(Builds::by(Backend::Lifecycle(Lifecycle::of("r.example/toolforge@sha256:1".to_owned()))));
            let platform = renderer::Platform { builds, ..renderer::Platform::builtin() };
            json!({"data": {"platform.json": json!(platform).to_string()}})
        }
        "/apis/toolforge.org/v1alpha1/tools" => list(json!([])),
        "/api/v1/namespaces/tool-a/secrets" => {
            let data: serde_json::Map<_, _> =
                own().zip(0..).map(|(value, n)| (format!("v{n}"), STANDARD.encode(value).into())).collect();
            list(json!([{"metadata": {"name": "s", "namespace": "tool-a"}, "data": data}]))
        }
        "/api/v1/namespaces/tool-a/pods" => {
            list(json!([{"metadata": {"name": "web-1", "labels": {"app.kubernetes.io/name": "web"}}}]))
        }
        "/apis/batch/v1/namespaces/toolforge-builds/jobs" => list(json!([job()])),
        "/apis/batch/v1/namespaces/toolforge-builds/jobs/a-1" => job(),
        "/api/v1/namespaces/toolforge-builds/pods" => list(json!([build_pod()])),
        path if path.ends_with("/log") => {
            let pieces: Vec<_> = words()
                .into_bytes()
                .chunks(PIECE_BYTES)
                .map(|piece| Ok::<_, Infallible>(Bytes::copy_from_slice(piece)))
                .collect();
            return Body::from_stream(stream::iter(pieces)).into_response();
        }
        _ => return StatusCode::NOT_FOUND.into_response(),
    };
    ([("content-type", "application/json")], found.to_string()).into_response()
}

/// A build that failed.
fn job() -> Value {
    let failed = json!({"type": "Failed", "status": "True", "reason": "BackoffLimitExceeded"});
    let metadata = json!({
        "name": "a-1", "namespace": "toolforge-builds", "uid": "u1", "resourceVersion": "5",
        "labels": {"toolforge.org/tool": "a"}, "annotations": {(BUILD_ID): "0123456789abcdef"},
    });
    json!({"apiVersion": "batch/v1", "kind": "Job", "metadata": metadata, "status": {"conditions": [failed]}})
}

fn build_pod() -> Value {
    let end = json!({"terminated": {"exitCode": 51, "reason": "Error", "message": words()}});
    json!({
        "apiVersion": "v1", "kind": "Pod",
        "metadata": {
            "name": "a-1-x", "namespace": "toolforge-builds", "uid": "u2", "resourceVersion": "6",
            "labels": {"batch.kubernetes.io/job-name": "a-1", "toolforge.org/build-of": "a"},
        },
        "spec": {"containers": [{"name": "build"}]},
        "status": {"phase": "Failed", "containerStatuses": [{"name": "build", "ready": false, "state": end}]},
    })
}
