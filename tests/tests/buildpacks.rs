//! Our buildpacks, called as a lifecycle calls them: ordinary processes in a scratch folder with a blank in its name,
//! without root, each from a copy of its own folder alone. Package indexes are reached only where a test says so.

#[path = "buildpacks/deb_packages.rs"]
mod deb_packages;
#[path = "buildpacks/folders.rs"]
mod folders;
#[path = "buildpacks/lifecycle.rs"]
mod lifecycle;
#[path = "buildpacks/node.rs"]
mod node;
#[path = "buildpacks/packages.rs"]
mod packages;
#[path = "buildpacks/procfile.rs"]
mod procfile;
#[path = "buildpacks/python.rs"]
mod python;
#[path = "buildpacks/static_site.rs"]
mod static_site;
#[path = "buildpacks/together.rs"]
mod together;
