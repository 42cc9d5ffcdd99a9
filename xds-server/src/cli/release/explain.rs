//! `tidegate release explain`.

use tidegate::api::explain::Explanation;

use super::newest;
use crate::cli::client::Client;
use crate::cli::failure::Failure;
use crate::cli::output::{self, Format, printable};
use crate::cli::terminal::Screen;

pub(super) async fn run(client: &Client, service: &str, format: Format) -> Result<(), Failure> {
    let release = newest(client, service).await?;
    let answer = client.get(&["releases", release.id.as_ref(), "explain"]).await?;
    if format == Format::Name {
        return output::print(release.id.as_ref());
    }
    output::document(format, &answer, || {
        let Explanation { text, .. } = client.read(&answer)?;
        let screen = Screen::of_stdout();
        let lines = text.iter().flat_map(|line| screen.wrap(&printable(line), 0));
        Ok(lines.collect::<Vec<_>>().join("\n"))
    })
}
