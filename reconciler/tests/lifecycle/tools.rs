//! Tools of each kind, from a commit to the process. Python's, Node.js' and Debian's packages come from their indexes.

use anyhow::ensure;

use crate::stage::{Stage, free_port, toolforge_yaml};

const SERVE: &str = "\
import http.server, os, six, subprocess
class Answer(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200); self.end_headers()
        self.wfile.write(f'six {six.__version__} as {os.getuid()}'.encode())
    def log_message(self, *words): pass
http.server.HTTPServer(('127.0.0.1', int(os.environ['PORT'])), Answer).serve_forever()
";

#[tokio::test(flavor = "multi_thread")]
async fn a_python_tool_with_requirements_is_built_served_and_built_again_from_its_cache() -> anyhow::Result<()> {
    let stage = Stage::new().await?;
    let repository = stage.repository("wordcount")?;
    let run = format!("command: web, port: {}", free_port()?);
    repository.commit(&[
        ("toolforge.yaml", &toolforge_yaml(&run, "")),
        ("requirements.txt", "six==1.16.0\n"),
        ("app.py", SERVE),
        ("Procfile", "web: python app.py\nworker: python worker.py\n"),
    ])?;
    let first = stage.build("wordcount", &repository).await?.good()?;
    let detected = first.log("detect")?;
    ensure!(detected.contains("3 of 8 buildpacks participating"), "{detected}");
    ensure!(first.log("build")?.contains("[pip] installing requirements.txt"), "{}", first.log("build")?);
    let image = stage.unpacked(&first).await?;
    ensure!(first.serves(&image).await? == "six 1.16.0 as 50000");

    // The bill of materials of the layer is in the image.
    let bill = image.path("layers/sbom/launch/toolforge_pip/venv/sbom.cdx.json");
    ensure!(std::fs::read_to_string(&bill)?.contains("pkg:pypi/six@1.16.0"));
    let metadata = image.label("io.buildpacks.lifecycle.metadata")?;
    let run_image = stage.platform.builder.run_image.split_once('@').map(|(name, _)| name);
    ensure!(metadata["runImage"]["image"].as_str() == run_image, "{metadata:#}");

    let project = image.label("io.buildpacks.project.metadata")?;
    ensure!(project["source"]["version"]["committed"] == "2023-11-14T22:13:20Z", "{project}");

    // Another commit with the same requirements: a new image, and nothing is installed.
    repository.commit(&[("README.md", "Counts words.\n")])?;
    let second = stage.build("wordcount", &repository).await?.good()?;
    ensure!(second.image != first.image);
    let log = second.log("build")?;
    ensure!(log.contains("the packages of the last build are used"), "{}{log}", second.log("restore")?);
    ensure!(second.serves(&stage.unpacked(&second).await?).await? == "six 1.16.0 as 50000");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_tool_is_built_and_served() -> anyhow::Result<()> {
    let stage = Stage::new().await?;
    let repository = stage.repository("server")?;
    let run = format!("command: web, port: {}", free_port()?);
    let server = "require('http').createServer((_, answer) => answer.end(String(require('is-number')(7))))\
        .listen(process.env.PORT, '127.0.0.1')\n";
    repository.commit(&[
        ("toolforge.yaml", &toolforge_yaml(&run, "")),
        (
            "package.json",
            r#"{"name": "server", "scripts": {"start": "node server.js"}, "dependencies": {"is-number": "7.0.0"}}"#,
        ),
        ("server.js", server),
    ])?;
    let built = stage.build("server", &repository).await?.good()?;
    let image = stage.unpacked(&built).await?;
    ensure!(built.serves(&image).await? == "true");
    let bill = image.path("layers/sbom/launch/toolforge_node/modules/sbom.cdx.json");
    ensure!(std::fs::read_to_string(&bill)?.contains("pkg:npm/is-number@7.0.0"));
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn packages_of_debian_python_and_node_are_in_one_image_with_the_buildpacks_that_were_named() -> anyhow::Result<()>
{
    let stage = Stage::new().await?;
    let repository = stage.repository("mixed")?;
    let chosen = ", packages: [hello], buildpacks: [toolforge/deb-packages, toolforge/python, toolforge/node, \
        toolforge/procfile]";
    let program = "import subprocess\nfor words in ['hello'], ['node', '-p', '6 * 7']:\n    \
        print(subprocess.check_output(words, text=True), end='', flush=True)\n";
    repository.commit(&[
        ("toolforge.yaml", &toolforge_yaml("command: talk", chosen)),
        ("main.py", program),
        ("package.json", "{}"),
        ("Procfile", "talk: python main.py\n"),
    ])?;
    let built = stage.build("mixed", &repository).await?.good()?;
    let detected = built.log("detect")?;
    ensure!(detected.contains("toolforge/deb-packages") && !detected.contains("participating"), "{detected}");
    ensure!(built.runs(&stage.unpacked(&built).await?).await? == "Hello, world!\n42\n");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_command_that_is_no_process_has_the_images_environment_and_its_words_as_they_were_written()
-> anyhow::Result<()> {
    let stage = Stage::new().await?;
    let repository = stage.repository("words")?;
    repository.commit(&[
        ("toolforge.yaml", &toolforge_yaml(r#"command: "python main.py '$HOME' 'a \"b\" && c'""#, "")),
        ("main.py", "import os, sys\nprint(sys.argv[1:], os.environ['PYTHONUNBUFFERED'])\n"),
    ])?;
    let built = stage.build("words", &repository).await?.good()?;
    let said = built.runs(&stage.unpacked(&built).await?).await?;
    ensure!(said == "['$HOME', 'a \"b\" && c'] 1\n", "{said}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn what_no_buildpack_knows_and_what_fails_ends_the_job_with_its_reason() -> anyhow::Result<()> {
    let stage = Stage::new().await?;
    let repository = stage.repository("broken")?;
    let yaml = toolforge_yaml("command: web, port: 8000", "");
    repository.commit(&[("toolforge.yaml", &yaml), ("main.cob", "STOP RUN.\n")])?;
    let unknown = stage.build("broken", &repository).await?;
    let last = unknown.phases.last().map(|phase| (phase.name.as_str(), phase.ran.code));
    ensure!(last == Some(("detect", 20)), "{last:?}");
    ensure!(unknown.log("detect")?.contains("No buildpack groups passed detection"));

    repository.commit(&[("Procfile", "web python main.py\n")])?;
    let wrong = stage.build("broken", &repository).await?;
    let last = wrong.phases.last().map(|phase| (phase.name.as_str(), phase.ran.code));
    ensure!(last == Some(("build", 51)), "{last:?}");
    let log = wrong.log("build")?;
    ensure!(log.contains("[procfile] error: Procfile line 1:") && log.contains("hint: "), "{log}");
    Ok(())
}
