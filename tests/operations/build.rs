//! Has the linker route calls into libsecp256k1 through the counting wrappers of this package, in its tests alone.

fn main() {
    println!("cargo:rerun-if-changed=build.rs");
    println!("cargo:rerun-if-changed=src/functions.txt");
    for function in include_str!("src/functions.txt").split_whitespace() {
        println!("cargo:rustc-link-arg-tests=-Wl,--wrap=rustsecp256k1_v0_10_0_{function}");
    }
}
