//! The format of a scenario: blocks of a command, its input lines, `----`, and its output, which ends at an empty line.
//! Lines that begin with `#` between the blocks are comments.

/// Executes every command of a scenario, and returns the scenario with the outputs replaced.
///
/// `execute` gets the command's line, and the lines between it and `----`.
pub(crate) fn rewrite(text: &str, mut execute: impl FnMut(&str, &[&str]) -> String) -> String {
    let mut result = String::new();
    let mut lines = text.lines();
    while let Some(line) = lines.next() {
        result.push_str(line);
        result.push('\n');
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let input: Vec<_> = lines.by_ref().take_while(|line| *line != "----").collect();
        for line in &input {
            result.push_str(line);
            result.push('\n');
        }
        result.push_str("----\n");
        result.push_str(&execute(line, &input));
        // The recorded output ends with an empty line.
        if lines.by_ref().find(|line| line.is_empty()).is_some() {
            result.push('\n');
        }
    }
    result
}

/// Splits a line into words at spaces. Double quotes keep the spaces of a word, as in `reason="too many returns"`.
pub(crate) fn words(line: &str) -> Vec<String> {
    let mut words = vec![String::new()];
    let mut quoted = false;
    for c in line.chars() {
        match c {
            '"' => quoted = !quoted,
            ' ' if !quoted => words.push(String::new()),
            c => words.last_mut().unwrap().push(c),
        }
    }
    words.retain(|word| !word.is_empty());
    words
}

/// The arguments of one line: plain words in order, and `KEY=VALUE` options in any place.
pub(crate) struct Arguments {
    line: String,
    plain: std::vec::IntoIter<String>,
    options: Vec<(String, String)>,
}

impl Arguments {
    pub(crate) fn parse(line: &str) -> Self {
        let (mut plain, mut options) = (Vec::new(), Vec::new());
        for word in words(line) {
            match word.split_once('=') {
                Some((key, value)) => options.push((key.to_owned(), value.to_owned())),
                None => plain.push(word),
            }
        }
        Self { line: line.to_owned(), plain: plain.into_iter(), options }
    }

    /// The next plain word.
    pub(crate) fn word(&mut self) -> String {
        self.plain.next().unwrap_or_else(|| panic!("a word is missing in `{}`", self.line))
    }

    /// The next plain word as a value.
    pub(crate) fn value<T: std::str::FromStr>(&mut self) -> T {
        let word = self.word();
        word.parse().unwrap_or_else(|_| panic!("`{word}` in `{}`", self.line))
    }

    /// The next plain word as a value, if there is one.
    pub(crate) fn next_value<T: std::str::FromStr>(&mut self) -> Option<T> {
        self.plain.as_slice().first()?;
        Some(self.value())
    }

    /// The plain words that are left.
    pub(crate) fn rest(&mut self) -> Vec<String> {
        self.plain.by_ref().collect()
    }

    /// Removes an option.
    pub(crate) fn option(&mut self, key: &str) -> Option<String> {
        let place = self.options.iter().position(|(name, _)| name == key)?;
        Some(self.options.remove(place).1)
    }

    /// Removes all options.
    pub(crate) fn options(&mut self) -> Vec<(String, String)> {
        std::mem::take(&mut self.options)
    }

    /// Fails the test if something of the line was not used.
    pub(crate) fn end(self) {
        let rest: Vec<_> = self.plain.chain(self.options.into_iter().map(|it| it.0)).collect();
        assert!(rest.is_empty(), "{rest:?} is not used in `{}`", self.line);
    }
}
