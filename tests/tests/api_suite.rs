//! Every claim of the API suite, on the sandbox and on a real control plane.

use tests::api_suite;
use tests::control_plane::ControlPlane;

macro_rules! on_the_sandbox {
    ($($module:ident: $claim:ident;)*) => {
        mod on_the_sandbox {
            $(
                #[tokio::test]
                async fn $claim() -> anyhow::Result<()> {
                    let sandbox = sandbox::Sandbox::in_memory();
                    super::api_suite::$module::$claim(kube::Client::new(sandbox.service(), "default")).await
                }
            )*
        }
    };
}

macro_rules! on_a_real_control_plane {
    ($($module:ident: $claim:ident;)*) => {
        mod on_a_real_control_plane {
            use super::ControlPlane;
            $(
                #[tokio::test]
                async fn $claim() -> anyhow::Result<()> {
                    let client = ControlPlane::shared().await?.client().await?;
                    super::api_suite::$module::$claim(client).await
                }
            )*
        }
    };
}

tests::api_claims!(on_the_sandbox);
tests::api_claims!(on_a_real_control_plane);
