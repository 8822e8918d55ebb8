// SPDX-License-Identifier: GPL-2.0

//! The sysfs tree of the self-test.
//!
//! ```text
//! /sys/devices/virtual/kx-base/ctl/      value, long, fail, make, reap, announce
//!                              ctl/sub/            a plain directory
//!                              ctl/sub/<name>/     self, suicide; made by writing to `make`
//!                              ctl/links/<name>    link to it
//! /sys/devices/virtual/kx-base/quiet/    not announced until `announce` is written
//! ```

use core::fmt::Write as _;
use kernel::{
    new_mutex,
    prelude::*,
    str::CString,
    sync::{
        Arc,
        Mutex, //
    },
    ThisModule, //
};
use kernel_ext::{
    error::{
        errno,
        error, //
    },
    sync::AtomicSlot,
    sysfs::{
        Class,
        ClassDevice,
        Dir,
        File,
        Files,
        Link,
        Page,
        StoreContext, //
    },
    time, //
};

/// What lives below `ctl` and changes.
struct Inner {
    value: KVec<u8>,
    children: KVec<(Link, Dir<Child>)>,
}

/// The data of `ctl`.
#[pin_data]
pub(crate) struct Control {
    #[pin]
    inner: Mutex<Inner>,
    /// Directories for the children and their links; taken out when the tree goes.
    #[pin]
    places: Mutex<Option<(Dir<()>, Dir<()>)>>,
    quiet: AtomicSlot<KBox<ClassDevice<Quiet>>>,
}

impl Files for Control {
    const FILES: &'static [File<Self>] = &[
        File::read_write(c"value", Control::show_value, Control::store_value),
        File::read_only(c"long", |_, page| {
            for i in 0..10_000 {
                core::writeln!(page, "{i}").map_err(|_| EIO)?;
            }
            Ok(())
        }),
        File::read_only(c"fail", |_, _| Err(error(errno::ECOMM))),
        File::write_only(c"make", Control::make),
        File::write_only(c"reap", Control::reap),
        File::write_only(c"announce", Control::announce),
    ];
}

impl Control {
    fn show_value(&self, page: &mut Page<'_>) -> Result {
        page.bytes(&self.inner.lock().value);
        Ok(())
    }

    fn store_value(&self, bytes: &[u8], context: &StoreContext<'_>) -> Result {
        let _ = context;
        if bytes.first() == Some(&b'!') {
            return Err(EINVAL);
        }
        let mut value = KVec::new();
        value.extend_from_slice(bytes, GFP_KERNEL)?;
        self.inner.lock().value = value;
        Ok(())
    }

    /// Makes a child directory and a link to it.
    fn make(&self, bytes: &[u8], _: &StoreContext<'_>) -> Result {
        let name = core::str::from_utf8(bytes).map_err(|_| EINVAL)?.trim_end();
        let name = CString::try_from_fmt(fmt!("{name}"))?;
        let places = self.places.lock();
        let (sub, links) = places.as_ref().ok_or(ENODEV)?;
        let child = Arc::new(
            Child {
                name: AtomicSlot::empty(),
            },
            GFP_KERNEL,
        )?;
        let dir = Dir::new(sub, &name, child.clone())?;
        let link = Link::new(links, &name, &dir)?;
        let copy = CString::try_from_fmt(fmt!("{}", &*name))?;
        drop(child.name.put(KBox::new(copy, GFP_KERNEL)?));
        self.inner.lock().children.push((link, dir), GFP_KERNEL)?;
        Ok(())
    }

    /// Removes all children from outside, whatever they are doing.
    fn reap(&self, _: &[u8], _: &StoreContext<'_>) -> Result {
        let children = core::mem::take(&mut self.inner.lock().children);
        for (link, dir) in children {
            // In this order, and in the other one, it must work.
            drop(dir);
            drop(link);
        }
        Ok(())
    }

    fn announce(&self, _: &[u8], _: &StoreContext<'_>) -> Result {
        let quiet = self.quiet.take().ok_or(already())?;
        quiet.announce();
        drop(self.quiet.put(quiet));
        Ok(())
    }
}

fn already() -> Error {
    error(errno::EALREADY)
}

/// The data of a child directory.
pub(crate) struct Child {
    name: AtomicSlot<KBox<CString>>,
}

impl Files for Child {
    const FILES: &'static [File<Self>] = &[
        File::read_only(c"self", |_, page| {
            page.emit(fmt!("{}\n", "child"));
            Ok(())
        }),
        File::read_only(c"slow", |_, page| {
            time::sleep_ms(300);
            page.bytes(b"slow\n");
            Ok(())
        }),
        File::write_only(c"suicide", |child, bytes, context| {
            if !context.remove_self() {
                return Err(already());
            }
            if context.remove_self() {
                return Err(EINVAL);
            }
            let control = CONTROL.take().ok_or(ENODEV)?;
            let mut inner = control.inner.lock();
            let mine = inner
                .children
                .iter()
                .position(|(_, dir)| core::ptr::eq(&**dir.data(), child));
            let gone = mine.and_then(|index| inner.children.remove(index).ok());
            drop(inner);
            drop(CONTROL.put(control));
            // Removes the directory of the running function.
            let removed = gone.is_some();
            drop(gone);
            time::sleep_ms(if bytes.starts_with(b"slow") {
                5_000
            } else {
                50
            });
            // Neither the data nor the module has gone meanwhile.
            let name = child.name.take().ok_or(ENOENT)?;
            pr_info!("removed {}\n", &**name);
            removed.then_some(()).ok_or(ENOENT)
        }),
    ];
}

/// The data of the device that is announced late.
pub(crate) struct Quiet;

impl Files for Quiet {
    const FILES: &'static [File<Self>] = &[File::read_only(c"state", |_, page| {
        page.bytes(b"quiet\n");
        Ok(())
    })];
}

/// The way from a child to the control; a test may take turns.
static CONTROL: AtomicSlot<Arc<Control>> = AtomicSlot::empty();

/// The whole tree; dropping it removes it.
pub(crate) struct Tree {
    control: Arc<Control>,
    _ctl: ClassDevice<Control>,
    _class: Class,
}

impl Tree {
    pub(crate) fn new(module: &'static ThisModule) -> Result<Self> {
        let class = Class::new(c"kx-base", module)?;
        let control = Arc::pin_init(
            pin_init!(Control {
                inner <- new_mutex!(Inner { value: KVec::new(), children: KVec::new() }),
                places <- new_mutex!(None),
                quiet: AtomicSlot::empty(),
            }),
            GFP_KERNEL,
        )?;
        let ctl = ClassDevice::new(&class, c"ctl", control.clone(), true)?;
        if ClassDevice::new(&class, c"ctl", control.clone(), true).is_ok() {
            return Err(EEXIST);
        }
        let sub = Dir::plain(&ctl, c"sub")?;
        let links = Dir::plain(&ctl, c"links")?;
        // The same name twice, a name that is a file; and a directory that outlives its parent.
        let twice = Dir::plain(&ctl, c"sub").err() == Some(EEXIST)
            && Link::new(&ctl, c"value", &sub).err() == Some(EEXIST)
            && Link::new(&ctl, c"a/b", &sub).err() == Some(EINVAL)
            && Dir::plain(&ctl, c"a/b").err() == Some(EINVAL);
        let parent = Dir::plain(&sub, c"parent")?;
        let child = Dir::plain(&parent, c"child")?;
        drop(parent);
        if !twice {
            return Err(EINVAL);
        }
        drop(child);
        *control.places.lock() = Some((sub, links));
        let quiet = ClassDevice::new(&class, c"quiet", Arc::new(Quiet, GFP_KERNEL)?, false)?;
        drop(control.quiet.put(KBox::new(quiet, GFP_KERNEL)?));
        drop(CONTROL.put(control.clone()));
        Ok(Tree {
            control,
            _ctl: ctl,
            _class: class,
        })
    }
}

impl Drop for Tree {
    fn drop(&mut self) {
        drop(CONTROL.take());
        drop(self.control.quiet.take());
        // The places go first here, on purpose: children and links must survive their parents.
        drop(self.control.places.lock().take());
        let children = core::mem::take(&mut self.control.inner.lock().children);
        drop(children);
    }
}
