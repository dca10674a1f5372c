//! How something does, as a shape, a word and a colour: never by colour alone.

/// How something does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum State {
    /// It failed, and tries again or needs a change.
    Failed,
    /// It is held until somebody answers.
    Held,
    /// It waits for something else.
    Waiting,
    /// It is on its way.
    Busy,
    /// Nothing is known yet, or nothing was asked.
    Idle,
    /// Somebody suspended it.
    Suspended,
    /// It is as it should be.
    Good,
}

impl State {
    /// The class that gives it its colour.
    pub fn class(self) -> &'static str {
        match self {
            Self::Failed => "failed",
            Self::Held => "held",
            Self::Waiting => "waiting",
            Self::Busy => "busy",
            Self::Idle => "idle",
            Self::Suspended => "suspended",
            Self::Good => "good",
        }
    }

    /// Whether a person should look.
    pub fn needs_somebody(self) -> bool {
        matches!(self, Self::Failed | Self::Held)
    }

    /// Its shape: octagon, diamond, clock, open ring, broken ring, bars, disc.
    pub fn shape(self) -> &'static str {
        match self {
            Self::Failed => {
                r#"<path d="M5.1 1h5.8L15 5.1v5.8L10.9 15H5.1L1 10.9V5.1z"/><path class="cut" d="M5.6 5.6l4.8 4.8M10.4 5.6l-4.8 4.8"/>"#
            }
            Self::Held => {
                r#"<path d="M8 .6 15.4 8 8 15.4.6 8z"/><path class="cut" d="M6.4 5.6v4.8M9.6 5.6v4.8"/>"#
            }
            Self::Waiting => {
                r#"<circle class="line" cx="8" cy="8" r="6.4"/><path class="line" d="M8 4.4V8l2.4 1.6"/>"#
            }
            Self::Busy => r#"<path class="line" d="M8 1.6A6.4 6.4 0 1 0 14.4 8"/>"#,
            Self::Idle => r#"<circle class="line dashed" cx="8" cy="8" r="6.4"/>"#,
            Self::Suspended => {
                r#"<circle class="line" cx="8" cy="8" r="6.4"/><path class="line" d="M6.4 5.6v4.8M9.6 5.6v4.8"/>"#
            }
            Self::Good => {
                r#"<circle cx="8" cy="8" r="7"/><path class="cut" d="M4.8 8.2l2.2 2.2 4.2-4.6"/>"#
            }
        }
    }
}
