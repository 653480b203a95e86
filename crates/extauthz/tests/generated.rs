//! The Rust in src/generated is what comes of the messages in proto/.
//!
//! It is checked in, so that who builds Flyball needs no compiler for protocol buffers. To make it anew:
//! `FLYBALL_WRITE_GENERATED=1 cargo test -p flyball-extauthz --test generated`.
#![allow(clippy::expect_used, reason = "a test")]

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

fn files(folder: &Path) -> BTreeMap<String, String> {
    let read = |entry: fs::DirEntry| {
        let name = entry.file_name().to_string_lossy().into_owned();
        (name, fs::read_to_string(entry.path()).expect("a generated file is text"))
    };
    fs::read_dir(folder).expect("the folder is there").map(|entry| read(entry.expect("an entry"))).collect()
}

/// Making the code anew changes nothing.
#[test]
fn generated_code_is_that_of_the_messages() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let proto = root.join("proto");
    let wanted = ["envoy/service/auth/v3/external_auth.proto", "grpc/health/v1/health.proto"];
    let mut set = protox::compile(wanted, [&proto]).expect("the messages compile");
    // These only say things about messages, in options that nobody reads here.
    let about = ["validate/", "udpa/", "xds/annotations/", "envoy/annotations/"];
    set.file.retain(|file| !about.iter().any(|folder| file.name().starts_with(folder)));
    let fresh = tempfile::tempdir().expect("a folder");
    prost_build::Config::new()
        .out_dir(fresh.path())
        .disable_comments(["."])
        .include_file("mod.rs")
        .compile_fds(set)
        .expect("code is made");
    let kept = root.join("src/generated");
    if std::env::var_os("FLYBALL_WRITE_GENERATED").is_some() {
        drop(fs::remove_dir_all(&kept));
        fs::create_dir_all(&kept).expect("the folder");
        for (name, text) in files(fresh.path()) {
            fs::write(kept.join(name), text).expect("written");
        }
    }
    assert!(files(&kept) == files(fresh.path()), "src/generated is not what proto/ gives; see the head of this test");
}
