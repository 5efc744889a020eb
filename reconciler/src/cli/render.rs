//! `render`: what would stand on the cluster. Nothing is asked over the network, so an image stands under its tag.

use super::local::{self, Local, LocalArgs};
use super::place::{self, Place};
use crate::ui::{Exit, Ui, wrong_use};
use renderer::rendered::{IMAGE_PLACEHOLDER, KEY_PLACEHOLDER};
use renderer::{Image, Object, Rendered, RenderedComponent};
use serde_json::Value;

/// Print the Kubernetes objects that a `toolforge.yaml` becomes
///
/// Works without a cluster, a registry and the network; an image that is still to be built stands under the tag it will
/// have. A component that is wrong is told and left out.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  toolforge render                            the tool in this folder
  toolforge render --tool wordcount           as the tool of that name
  toolforge render --platform platform.yaml   with the settings of that platform
  toolforge render --json | jq '.[].kind'

Exit code: 0 it is good, 2 something is wrong (what is good is printed all the same).")]
pub struct Args {
    #[command(flatten)]
    local: LocalArgs,
}

pub fn run(args: &Args, ui: &Ui) -> anyhow::Result<Exit> {
    let Place::Tool(place) = place::look(&args.local.path)? else {
        let message = format!("{} belongs to a config repository", args.local.path.display());
        return Err(wrong_use(message).hint("Run `toolforge check` on it; `render` takes a tool's own file.").into());
    };
    let local = Local::new(&args.local, *place, ui)?;
    let (_, rendered) = local.render(args.local.platform.is_some());
    let report = local.report(&rendered);
    local::tell(&report, &local.sources(), ui);
    let objects = objects(&rendered);
    if ui.json {
        let values: Vec<&Value> = objects.iter().map(|object| &object.value).collect();
        ui.json(&values)?;
    } else {
        ui.data(&renderer::to_yaml(&objects))?;
    }
    Ok(if report.is_good() { Exit::Done } else { Exit::WrongUse })
}

/// All objects, each image as far as it is known without a registry.
pub fn objects(rendered: &Rendered) -> Vec<Object> {
    let components = rendered.components.iter().flat_map(known);
    rendered.objects.iter().cloned().chain(components).collect()
}

fn known(component: &RenderedComponent) -> Vec<Object> {
    let image = match &component.image {
        Image::Prebuilt { reference } => reference.clone(),
        Image::Built { repository, build } => format!("{repository}:{build}"),
        // The tree is not known: nothing is committed, or another repository would have to be asked.
        Image::Unresolved { .. } => return component.objects.iter().map(without_key).collect(),
    };
    component
        .objects
        .iter()
        .map(|object| {
            let mut object = without_key(object);
            fill(&mut object.value, &image);
            object
        })
        .collect()
}

fn fill(value: &mut Value, image: &str) {
    match value {
        Value::String(text) if text == IMAGE_PLACEHOLDER => image.clone_into(text),
        Value::Array(list) => list.iter_mut().for_each(|item| fill(item, image)),
        Value::Object(map) => map.values_mut().for_each(|item| fill(item, image)),
        _ => {}
    }
}

/// A one-off's name ends in its key, which depends on the image's digest.
fn without_key(object: &Object) -> Object {
    let mut object = object.clone();
    if let Some(stem) = object.id.name.strip_suffix(KEY_PLACEHOLDER) {
        object.id.name = format!("{stem}xxxxxxxxxxxx");
        object.value["metadata"]["name"] = object.id.name.clone().into();
    }
    object
}
