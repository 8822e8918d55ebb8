// SPDX-License-Identifier: GPL-2.0

//! Which chunk a request gets: a bitmap of permits (spec: rtrs 4.1).
//!
//! One bit per chunk, set while a request owns it. Taking and returning are lock free;
//! the words are atomics of the room, given through [`Word`], so the host tests explore
//! the very algorithm that ships.
//!
//! # Ordering
//!
//! Taking a bit acquires what the last owner released with it. Nobody is woken here. A
//! room that lets callers sleep needs a full barrier on both sides, or a wake-up is lost:
//! the sleeper announces itself, *then* tries once more; the one who returns clears the
//! bit, *then* looks for sleepers.

/// A word of the bitmap: an atomic integer.
pub trait Word {
    /// Reads the word; needs no ordering.
    fn load(&self) -> usize;

    /// Replaces `current` by `new`, or answers what else is there. Success must order
    /// like acquire and release together; failure needs no ordering.
    fn compare_exchange(&self, current: usize, new: usize) -> Result<usize, usize>;
}

/// Bits of a word.
const BITS: usize = usize::BITS as usize;

/// How many words `count` permits need.
pub const fn words_for(count: usize) -> usize {
    count.div_ceil(BITS)
}

/// The permits of a session: a view of its words.
#[derive(Debug)]
pub struct Permits<'a, W> {
    words: &'a [W],
    count: usize,
}

impl<W> Clone for Permits<'_, W> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<W> Copy for Permits<'_, W> {}

impl<'a, W: Word> Permits<'a, W> {
    /// A view of the first `count` bits of `words`, which were zero in the beginning; of
    /// all bits, if there are not that many.
    #[inline]
    pub fn new(words: &'a [W], count: usize) -> Self {
        let count = count.min(words.len().saturating_mul(BITS));
        Self { words, count }
    }

    /// The number of permits.
    #[inline]
    pub const fn count(&self) -> usize {
        self.count
    }

    /// Takes a free permit, if there is one.
    ///
    /// The search starts at `hint`, which may be any number; callers on different
    /// processors should give different ones, to stay out of each other's words.
    #[inline]
    pub fn acquire(&self, hint: usize) -> Option<usize> {
        let start = hint.checked_rem(self.count)?;
        let first = start / BITS;
        let rest = (1..self.words.len()).map(|step| wrap(first, step, self.words.len()));
        self.acquire_in(first, usize::MAX << (start % BITS))
            .or_else(|| {
                rest.into_iter()
                    .find_map(|at| self.acquire_in(at, usize::MAX))
            })
            .or_else(|| self.acquire_in(first, usize::MAX))
    }

    /// Takes a free permit out of those that `among` allows in one word.
    #[inline]
    fn acquire_in(&self, at: usize, among: usize) -> Option<usize> {
        let word = self.words.get(at)?;
        let among = among & self.mask(at);
        let mut seen = word.load();
        loop {
            let free = !seen & among;
            if free == 0 {
                return None;
            }
            let lowest = free & free.wrapping_neg();
            match word.compare_exchange(seen, seen | lowest) {
                Ok(_) => return Some(at * BITS + lowest.trailing_zeros() as usize),
                Err(now) => seen = now,
            }
        }
    }

    /// Gives a permit back. Answers whether it was taken; if not, nothing changes and the
    /// caller has lost count.
    #[inline]
    pub fn release(&self, index: usize) -> bool {
        let Some(word) = self.words.get(index / BITS) else {
            return false;
        };
        let bit = 1 << (index % BITS);
        let mut seen = word.load();
        loop {
            if seen & bit == 0 {
                return false;
            }
            match word.compare_exchange(seen, seen & !bit) {
                Ok(_) => return true,
                Err(now) => seen = now,
            }
        }
    }

    /// How many permits are taken; a snapshot of nothing in particular while others are
    /// at work.
    pub fn in_use(&self) -> usize {
        let ones = |word: &W| word.load().count_ones() as usize;
        self.words.iter().map(ones).sum()
    }

    /// The bits of a word that are permits.
    #[inline]
    const fn mask(&self, at: usize) -> usize {
        match self.count.saturating_sub(at * BITS) {
            left if left < BITS => (1 << left) - 1,
            _ => usize::MAX,
        }
    }
}

/// The index `step` behind `first` on a ring of `len`, where both are below `len`.
#[inline]
const fn wrap(first: usize, step: usize, len: usize) -> usize {
    let at = first + step;
    if at < len {
        at
    } else {
        at - len
    }
}
