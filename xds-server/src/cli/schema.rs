//! `tidegate schema`.

use tidegate::config;

use super::failure::Failure;
use super::output;

pub(super) fn run() -> Result<(), Failure> {
    output::json(&config::schema())
}
