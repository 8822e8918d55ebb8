// SPDX-License-Identifier: GPL-2.0

//! A session of a client: the devices it has open, and what to do with its messages.
//!
//! The transport makes a session known in [`Sessions::connected`], hands its requests to
//! [`Session::request`] and says once that it is over. IO is answered from the table of
//! mappings, which is replaced as a whole and never changed; open and close messages take
//! the control lock and run on a queue of their own, because they open files and wait.
//!
//! Ids of devices only grow: an id that a client still uses for a closed device must not lead
//! to another one.
//!
//! Lock order: `control`, then the lock of the exports (`export.rs`). `inbox` is taken alone.

use kernel::{
    impl_has_work,
    new_mutex,
    new_work,
    prelude::*,
    str::CString,
    sync::{
        atomic::{
            Atomic,
            Relaxed, //
        },
        Arc,
        Mutex, //
    },
    workqueue::{
        Work,
        WorkItem, //
    }, //
};
use kernel_ext::{
    error::errno,
    random,
    sync::ArcCell, //
};
use rnbd_proto::{
    limits::{
        MAX_NOTICE_ID,
        OPEN_RSP_LEN,
        VERSION_MAJOR, //
    },
    negotiate,
    Data,
    Message,
    Open,
    SessInfo,
    SessInfoRsp, //
};
use rtrs_server::{
    Direction,
    Features,
    Operation,
    SessionFacts,
    SessionLink,
    Ulp,
    UlpSession, //
};

use trace_rnbd_server::{
    create_sess,
    destroy_sess,
    process_msg_close,
    process_msg_open,
    process_msg_sess_info,
    process_rdma,
    CloseFacts,
    IoFacts,
    OpenFacts,
    SessionFacts as TraceFacts,
    VersionFacts, //
};

use crate::{
    export::{
        directory_name,
        Exports, //
    },
    io::{
        self,
        BioPool,
        CachePool, //
    },
    mapping::Mapping,
    open::{
        self,
        Refusal, //
    }, //
};

/// Most devices that one session may have open at a time. The wire has room for more; a peer
/// that asks for more is not one to serve.
pub(crate) const MAX_MAPPINGS: usize = 1024;

/// Most open and close messages of one session that wait. Clients that come back open all
/// their devices at once, and may do so again before the first answer.
const MAX_LETTERS: usize = 2 * MAX_MAPPINGS;

/// The first version whose IO messages have a priority.
const VERSION_WITH_PRIO: u32 = 2;

/// Paths whose chunks may all be in use at the same time without a request having to allocate:
/// the client spreads the requests of one session over its paths, and repeats those of a path
/// that it lost on another.
const BUSY_PATHS: usize = 2;

/// The mappings of a session in the order of their ids; replaced as a whole. One that is closed
/// may still be among them, for want of memory for a table without it: it takes no request, and
/// the next table leaves it out.
pub(crate) struct Table {
    mappings: KVec<Arc<Mapping>>,
}

impl Table {
    /// The mapping with the id.
    fn find(&self, id: u32) -> Option<&Arc<Mapping>> {
        let at = self
            .mappings
            .binary_search_by_key(&id, |mapping| mapping.id)
            .ok()?;
        self.mappings.get(at)
    }

    /// All mappings that are open.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &Arc<Mapping>> {
        self.mappings
            .iter()
            .filter(|mapping| !mapping.gate.is_closed())
    }

    /// A copy with `mapping` added, whose id is above all others.
    fn with(&self, mapping: Arc<Mapping>) -> Result<Arc<Self>> {
        let mut mappings = KVec::with_capacity(self.mappings.len().saturating_add(1), GFP_KERNEL)?;
        for known in self.iter() {
            mappings.push(known.clone(), GFP_KERNEL)?;
        }
        mappings.push(mapping, GFP_KERNEL)?;
        Ok(Arc::new(Self { mappings }, GFP_KERNEL)?)
    }

    /// A copy without the mapping `id`.
    fn without(&self, id: u32) -> Result<Arc<Self>> {
        let mut mappings = KVec::with_capacity(self.mappings.len(), GFP_KERNEL)?;
        for known in self.iter().filter(|known| known.id != id) {
            mappings.push(known.clone(), GFP_KERNEL)?;
        }
        Ok(Arc::new(Self { mappings }, GFP_KERNEL)?)
    }
}

/// What the control lock of a session protects.
pub(crate) struct Control {
    /// The id of the next device.
    pub(crate) next_id: u32,
    /// Requests through the page cache, for all its devices that are files; made with the first.
    pub(crate) cache: Option<Arc<CachePool>>,
    /// No device is opened any more.
    closed: bool,
}

/// A session of a client.
#[pin_data]
pub(crate) struct Session {
    /// The name that the client gave itself; it proves nothing.
    pub(crate) name: CString,
    pub(crate) exports: Arc<Exports>,
    pub(crate) pool: Arc<BioPool>,
    /// Requests that the client can have in flight, on the paths that are busy together.
    pub(crate) depth: usize,
    /// For speaking to the client without being asked.
    pub(crate) link: SessionLink,
    /// Whether the client has agreed on extensions of the block protocol.
    extended: bool,
    /// The version that both speak; 0 before the client has said its own.
    version: Atomic<u32>,
    #[pin]
    table: ArcCell<Table>,
    #[pin]
    control: Mutex<Control>,
    /// Messages for `work`, at most [`MAX_LETTERS`].
    #[pin]
    inbox: Mutex<KVec<KBox<Letter>>>,
    #[pin]
    work: Work<Session>,
}

impl Session {
    fn new(facts: &SessionFacts<'_>, exports: &Arc<Exports>) -> Result<Arc<Self>> {
        let depth = usize::from(facts.queue_depth).saturating_mul(BUSY_PATHS);
        let table = Arc::new(
            Table {
                mappings: KVec::new(),
            },
            GFP_KERNEL,
        )?;
        Arc::pin_init(
            try_pin_init!(Self {
                name: directory_name(facts.name)?,
                exports: exports.clone(),
                pool: BioPool::of_bios(depth)?,
                depth,
                link: facts.link.clone(),
                extended: facts.features.has(Features::USER),
                version: Atomic::new(0),
                table <- ArcCell::new(Some(table)),
                control <- new_mutex!(Control {
                    next_id: first_id(),
                    cache: None,
                    closed: false,
                }),
                inbox <- new_mutex!(KVec::new()),
                work <- new_work!("rnbd_server::Session"),
            }),
            GFP_KERNEL,
        )
    }

    /// The mappings as they are now.
    pub(crate) fn table(&self) -> Result<Arc<Table>> {
        self.table.get().ok_or(ENOTCONN())
    }

    /// Opens a device for the client, or finds it open; see `open.rs`. Process context.
    fn open(self: &Arc<Self>, message: &Open) -> Result<Arc<Mapping>, Refusal> {
        let mut control = self.control.lock();
        if control.closed {
            return Err(Refusal::from(ENOTCONN()));
        }
        let table = self.table()?;
        if let Some(known) = table.iter().find(|known| known.name == message.name) {
            // A client that lost the session repeats what it had opened.
            return Ok(known.clone());
        }
        let mapping = open::mapping(self, &mut control, &table, message)?;
        match table.with(mapping.clone()) {
            Ok(table) => {
                drop(self.table.set(Some(table)));
                Ok(mapping)
            }
            Err(e) => {
                mapping.close(&self.exports);
                Err(Refusal::from(e))
            }
        }
    }

    /// Closes the device with the id because an administrator wants so; returns when its requests
    /// are answered and the backend is closed. The client is not told: its requests are refused
    /// from now on, and the id never comes back. Process context.
    pub(crate) fn force_close(&self, id: u32) -> Result {
        match self.close(id) {
            // The session is gone, and the device with it.
            Err(e) if e == ENOTCONN() => Ok(()),
            result => result,
        }
    }

    /// Closes the device with the id; one that is not open is closed already.
    fn close(&self, id: u32) -> Result {
        let _control = self.control.lock();
        let table = self.table()?;
        let Some(mapping) = table.find(id).cloned() else {
            return Ok(());
        };
        // Its file in sysfs is gone, or its client believes that it is closed: nobody comes again
        // when there is memory.
        if let Ok(table) = table.without(id) {
            drop(self.table.set(Some(table)));
        }
        mapping.close(&self.exports);
        Ok(())
    }

    fn trace(&self, message: &Message) {
        match message {
            Message::Open(open) => {
                // The field holds the name and a terminator.
                let path = CStr::from_bytes_until_nul(open.name.as_field()).unwrap_or(c"");
                process_msg_open(|| OpenFacts {
                    access: u8::from(open.mode),
                    name: &self.name,
                    path,
                });
            }
            Message::Close(close) => process_msg_close(|| CloseFacts {
                device_id: close.device_id,
                name: &self.name,
            }),
            _ => {}
        }
    }

    /// What is traced of the session itself.
    fn facts(&self) -> TraceFacts<'_> {
        TraceFacts {
            depth: self
                .depth
                .checked_div(BUSY_PATHS)
                .map_or(0, |depth| i32::try_from(depth).unwrap_or(i32::MAX)),
            name: &self.name,
        }
    }

    /// Answers an open or close message. Process context, may sleep for long.
    fn control(self: &Arc<Self>, operation: Operation, message: &Message) {
        // Whatever is not an answer must not carry what the chunk held before.
        if operation.direction() == Direction::Read && operation.reply(&[]).is_err() {
            return;
        }
        self.trace(message);
        let status = match message {
            // An answer that cannot be sent must not leave the device open.
            Message::Open(_) if !has_room(&operation, OPEN_RSP_LEN) => -errno::EINVAL,
            Message::Open(open) => match self.open(open) {
                Ok(mapping) => open::answer(&operation, &mapping, open),
                Err(refusal) => {
                    open::refused(self, open, &refusal);
                    refusal.errno()
                }
            },
            Message::Close(close) => match self.close(close.device_id) {
                Ok(()) => 0,
                Err(e) => e.to_errno(),
            },
            _ => -errno::EINVAL,
        };
        operation.respond(status);
    }
}

/// Whether the client takes an answer of `len` bytes.
fn has_room(operation: &Operation, len: usize) -> bool {
    usize::try_from(operation.answer_len()).is_ok_and(|room| room >= len)
}

/// The number for "not connected", which the kernel crate has no name for.
#[expect(non_snake_case, reason = "it stands beside the kernel's error codes")]
fn ENOTCONN() -> Error {
    kernel_ext::error::error(errno::ENOTCONN)
}

impl_has_work! {
    impl HasWork<Self> for Session { self.work }
}

impl WorkItem for Session {
    type Pointer = Arc<Self>;

    fn run(this: Arc<Self>) {
        loop {
            let next = {
                let mut inbox = this.inbox.lock();
                inbox.remove(0).ok()
            };
            let Some(letter) = next else {
                break;
            };
            let Letter { operation, message } = KBox::into_inner(letter);
            this.control(operation, &message);
        }
    }
}

/// An open or close message that waits for its turn.
struct Letter {
    operation: Operation,
    message: Message,
}

/// The handle that the transport has of a session.
struct Handle(Arc<Session>);

impl Handle {
    /// Leaves a message to the session's work item, which takes one after the other: a session
    /// never keeps more than one worker from the others.
    fn enqueue(&self, operation: Operation, message: Message) -> Result {
        // An operation that is dropped on failure is answered with an error by the transport.
        let letter = KBox::new(Letter { operation, message }, GFP_KERNEL)?;
        {
            let mut inbox = self.0.inbox.lock();
            if inbox.len() >= MAX_LETTERS {
                return Err(ENOSPC);
            }
            inbox.push(letter, GFP_KERNEL)?;
        }
        // A work item that is queued already will find the message.
        let _ = self.0.exports.control().queue().enqueue(self.0.clone());
        Ok(())
    }
}

impl UlpSession for Handle {
    fn request(&self, operation: Operation) {
        let data = match operation.direction() {
            Direction::Read => Data::ToClient(operation.data_len()),
            Direction::Write => Data::FromClient(operation.data_len()),
        };
        let message = match Message::parse(operation.user(), data, self.0.extended) {
            Ok(message) => message,
            Err(e) => {
                operation.respond(e.errno());
                return;
            }
        };
        match message {
            Message::Io(mut io) => {
                // What an older client has in this place means nothing.
                let version = self.0.version.load(Relaxed);
                if version < VERSION_WITH_PRIO {
                    io.prio = None;
                }
                process_rdma(|| IoFacts {
                    name: &self.0.name,
                    write: operation.direction() == Direction::Write,
                    version: u8::try_from(version).unwrap_or(u8::MAX),
                    device_id: io.device_id,
                    sector: io.sector,
                    flags: io.rw(),
                    size: io.size,
                    prio: io.prio.unwrap_or(0),
                    data_len: operation.data_len(),
                    usr_len: operation.user().len(),
                });
                let found = self
                    .0
                    .table
                    .get()
                    .and_then(|table| table.find(io.device_id).cloned());
                match found {
                    Some(mapping) => io::submit(operation, &self.0, mapping, &io),
                    None => operation.respond(-errno::ENOTCONN),
                }
            }
            Message::SessInfo(info) => {
                let status = sess_info(&self.0, &operation, &info);
                operation.respond(status);
            }
            Message::Open(_) | Message::Close(_) => {
                // Without room the operation is gone and thereby answered.
                let _ = self.enqueue(operation, message);
            }
        }
    }

    fn disconnected(&self) {
        let session = &self.0;
        let mut control = session.control.lock();
        control.closed = true;
        if let Some(table) = session.table.set(None) {
            if table.iter().next().is_some() {
                destroy_sess(|| session.facts());
            }
            for mapping in table.iter() {
                mapping.close(&session.exports);
            }
        }
    }
}

/// Answers the greeting of a client with the version both speak.
fn sess_info(session: &Session, operation: &Operation, info: &SessInfo) -> i32 {
    let ver = negotiate(info.ver);
    process_msg_sess_info(|| VersionFacts {
        agreed: ver,
        client: info.ver,
        server: VERSION_MAJOR,
        name: &session.name,
    });
    match operation.reply(&SessInfoRsp { ver }.to_bytes()) {
        Ok(()) => {
            session.version.store(u32::from(ver), Relaxed);
            0
        }
        Err(e) => e.to_errno(),
    }
}

/// The acceptor of sessions that the transport knows.
pub(crate) struct Sessions {
    exports: Arc<Exports>,
}

impl Sessions {
    /// Makes the acceptor over the registry of exports.
    pub(crate) fn new(exports: Arc<Exports>) -> Result<Arc<Self>> {
        Ok(Arc::new(Self { exports }, GFP_KERNEL)?)
    }
}

impl Ulp for Sessions {
    fn connected(&self, facts: SessionFacts<'_>) -> Result<Arc<dyn UlpSession>> {
        let session = Session::new(&facts, &self.exports)?;
        create_sess(|| session.facts());
        let handle: Arc<dyn UlpSession> = Arc::new(Handle(session), GFP_KERNEL)?;
        Ok(handle)
    }
}

/// The id of the first device of a session. A client that has not noticed yet that it has a new
/// session must not reach a device of that with an id of the old one; so they begin anywhere.
fn first_id() -> u32 {
    let mut bytes = [0; 4];
    random::bytes(&mut bytes);
    // Half of the range is left for later ones.
    u32::from_le_bytes(bytes) & (MAX_NOTICE_ID >> 1)
}
