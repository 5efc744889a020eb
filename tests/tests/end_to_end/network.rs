//! What goes out of a tool, as the API server keeps it.

use anyhow::ensure;
use serde_json::{Value, json};
use tests::platform::Platform;

use crate::{prebuilt, web};

const POLICY: &str = "toolforge.default";
const SETTING: &str = "network: {open: {redis: {namespace: redis, pods: {app: redis}, ports: [6379, 53/udp]}, \
                       databases: {cidr: 10.64.8.0/22, ports: [3306]}, six: {cidr: \"2001:db8::/32\", ports: [443]}}}";

#[tokio::test(flavor = "multi_thread")]
async fn what_goes_out_is_bounded_and_open_again_as_the_platform_says() -> anyhow::Result<()> {
    let platform = Platform::start("network").await?;
    let image = prebuilt(&platform, "web").await?;
    let tool = platform.tool("web")?;
    tool.commit(&web(&image))?;
    tool.ready().await?;
    let types = |policy: &Value| policy["spec"]["policyTypes"].clone();
    ensure!(types(&tool.object("NetworkPolicy", POLICY).await?) == json!(["Ingress"]));

    platform.commit_setting(SETTING)?;
    let both = |policy: &Value| types(policy) == json!(["Ingress", "Egress"]);
    let bounded = tool.until("NetworkPolicy", POLICY, "bounds what goes out", both).await?;
    let rules = bounded["spec"]["egress"].as_array().map_or(0, Vec::len);
    ensure!(rules == 6, "{bounded}");
    tool.ready().await?;
    platform.quiet().await?;

    tool.kubectl(&[
        "patch",
        "networkpolicy",
        POLICY,
        "--type=json",
        "-p",
        r#"[{"op": "remove", "path": "/spec/egress"}]"#,
    ])
    .await?;
    let healed = |policy: &Value| policy["spec"]["egress"].as_array().map(Vec::len) == Some(rules);
    tool.until("NetworkPolicy", POLICY, "is healed", healed).await?;

    platform.commit_setting("network: {open: {redis: {cidr: 10.0.0.1/8, ports: [6379]}}}")?;
    platform.quiet().await?;
    ensure!(healed(&tool.object("NetworkPolicy", POLICY).await?), "a broken setting changes nothing");

    platform.commit_setting("# as before")?;
    let open = |policy: &Value| types(policy) == json!(["Ingress"]) && policy["spec"]["egress"].is_null();
    tool.until("NetworkPolicy", POLICY, "is as before", open).await?;
    tool.ready().await
}
