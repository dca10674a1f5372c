//! Tasks of the repository: tidy, goldens, end-to-end suites.

fn main() {}
