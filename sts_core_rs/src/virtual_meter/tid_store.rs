//! The identifiers that a meter remembers (clause 7): the newest fifty, so that an old token
//! cannot be entered twice and one older than all of them not at all.

/// How many identifiers a meter remembers.
pub const TID_STORE_LENGTH: usize = 50;

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct TidStore {
    /// Rising, the smallest first.
    identifiers: [u32; TID_STORE_LENGTH],
}

pub(super) enum Seen {
    Never,
    Before,
    Older,
}

impl TidStore {
    pub(super) fn filled_with(tid: u32) -> Self {
        Self { identifiers: [tid; TID_STORE_LENGTH] }
    }

    pub(super) fn from_identifiers(mut identifiers: [u32; TID_STORE_LENGTH]) -> Self {
        identifiers.sort_unstable();
        Self { identifiers }
    }

    pub(super) fn identifiers(&self) -> &[u32; TID_STORE_LENGTH] {
        &self.identifiers
    }

    pub(super) fn look_up(&self, tid: u32) -> Seen {
        let [smallest, ..] = self.identifiers;
        if tid < smallest {
            Seen::Older
        } else if self.identifiers.binary_search(&tid).is_ok() {
            Seen::Before
        } else {
            Seen::Never
        }
    }

    /// Takes the place of the smallest.
    pub(super) fn remember(&mut self, tid: u32) {
        let [smallest, ..] = &mut self.identifiers;
        *smallest = tid;
        self.identifiers.sort_unstable();
    }
}
