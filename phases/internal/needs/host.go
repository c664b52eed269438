package needs

// System are the libraries that every desktop system brings and that a bundle should not: the C library and what must
// fit the kernel's and the display server's drivers. It is the list that AppImage tools share.
var System = []string{
	// glibc
	"ld-linux-x86-64.so.2", "ld-linux-aarch64.so.1", "ld-linux.so.2", "ld-linux-armhf.so.3",
	"libc.so.6", "libm.so.6", "libdl.so.2", "libpthread.so.0", "librt.so.1", "libresolv.so.2", "libutil.so.1", "libmvec.so.1",
	"libanl.so.1", "libBrokenLocale.so.1", "libnsl.so.1", "libnss_compat.so.2", "libnss_dns.so.2", "libnss_files.so.2",
	"libnss_hesiod.so.2", "libnss_nis.so.2", "libnss_nisplus.so.2", "libthread_db.so.1",
	// the compiler's
	"libstdc++.so.6", "libgcc_s.so.1",
	// graphics
	"libGL.so.1", "libEGL.so.1", "libGLX.so.0", "libGLdispatch.so.0", "libOpenGL.so.0", "libGLESv2.so.2",
	"libdrm.so.2", "libgbm.so.1", "libglapi.so.0", "libwayland-client.so.0",
	"libX11.so.6", "libX11-xcb.so.1", "libxcb.so.1", "libxcb-dri2.so.0", "libxcb-dri3.so.0", "libICE.so.6", "libSM.so.6",
	// sound
	"libasound.so.2", "libjack.so.0", "libpipewire-0.3.so.0",
	// fonts
	"libfontconfig.so.1", "libfreetype.so.6", "libharfbuzz.so.0", "libfribidi.so.0",
	// others
	"libexpat.so.1", "libz.so.1", "libcom_err.so.2", "libgpg-error.so.0", "libusb-1.0.so.0", "libuuid.so.1", "libgmp.so.10",
}

// GTK3 is what a Flutter application takes from the system together with GTK. Half of it in the bundle is the worst
// state: all or nothing.
var GTK3 = []string{
	"libgtk-3.so.0", "libgdk-3.so.0", "libepoxy.so.0", "libatk-1.0.so.0", "libatk-bridge-2.0.so.0",
	"libpango-1.0.so.0", "libpangocairo-1.0.so.0", "libpangoft2-1.0.so.0", "libcairo.so.2", "libcairo-gobject.so.2",
	"libgdk_pixbuf-2.0.so.0", "libglib-2.0.so.0", "libgobject-2.0.so.0", "libgio-2.0.so.0", "libgmodule-2.0.so.0", "libgthread-2.0.so.0",
}
