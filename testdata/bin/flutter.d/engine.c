// The stand-in's libflutter_linux_gtk.so: a window on an X display, without GTK. It speaks the X11 protocol itself (X
// Window System Protocol, version 11), over the socket of a local display, little endian.
#include "flutter_linux.h"

#include <dlfcn.h>
#include <errno.h>
#include <limits.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

static int fd;

static int fail(const char *why) {
  fprintf(stderr, "flutter (stand-in): %s\n", why);
  return 1;
}

static int get(void *to, size_t n) {
  for (char *p = to; n > 0;) {
    ssize_t got = read(fd, p, n);
    if (got < 0 && errno == EINTR) continue;
    if (got <= 0) return 0;
    p += got, n -= got;
  }
  return 1;
}

static int put(const void *from, size_t n) {
  for (const char *p = from; n > 0;) {
    ssize_t sent = send(fd, p, n, MSG_NOSIGNAL);
    if (sent < 0 && errno == EINTR) continue;
    if (sent <= 0) return 0;
    p += sent, n -= sent;
  }
  return 1;
}

static uint32_t word(const unsigned char *p) { return p[0] | p[1] << 8 | p[2] << 16 | (uint32_t)p[3] << 24; }

// One counted text of an authority file, big endian; -1 at the end.
static int field(FILE *f, char *to, size_t room) {
  int high = getc(f), low = getc(f), n = high << 8 | low;
  if (low == EOF || (size_t)n >= room || fread(to, 1, n, f) != (size_t)n) return -1;
  to[n] = 0;
  return n;
}

// The cookie of a display, from $XAUTHORITY or ~/.Xauthority. Returns its length, 0 for none.
static int cookie(const char *display, char *to, size_t room) {
  char path[PATH_MAX], address[256], number[64], name[64], data[256];
  const char *file = getenv("XAUTHORITY"), *home = getenv("HOME");
  if (!file && (!home || snprintf(path, sizeof path, "%s/.Xauthority", home) >= (int)sizeof path)) return 0;
  FILE *f = fopen(file ? file : path, "re");
  if (!f) return 0;
  int n = 0;
  while (n == 0 && getc(f) != EOF && getc(f) != EOF) {  // the family
    if (field(f, address, sizeof address) < 0 || field(f, number, sizeof number) < 0 || field(f, name, sizeof name) < 0) break;
    int length = field(f, data, sizeof data);
    if (length < 0) break;
    if (strcmp(name, "MIT-MAGIC-COOKIE-1") == 0 && (!*number || strcmp(number, display) == 0) && (size_t)length <= room)
      memcpy(to, data, n = length);
  }
  fclose(f);
  return n;
}

// Connects to $DISPLAY, :N or :N.S, and reads what the server says of itself.
static int connect_display(uint32_t *id, uint32_t *root, uint32_t *white) {
  const char *display = getenv("DISPLAY"), *colon = display ? strchr(display, ':') : NULL;
  if (!colon) return fail("cannot open display: DISPLAY is not set");
  char number[16];
  size_t digits = strspn(colon + 1, "0123456789");
  if (digits == 0 || digits >= sizeof number) return fail("cannot open display: DISPLAY names none");
  memcpy(number, colon + 1, digits);
  number[digits] = 0;

  struct sockaddr_un to = {.sun_family = AF_UNIX};
  snprintf(to.sun_path, sizeof to.sun_path, "/tmp/.X11-unix/X%s", number);
  fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (connect(fd, (struct sockaddr *)&to, sizeof to) != 0) {
    // The same name in the abstract space, as Xlib tries too.
    size_t n = strlen(to.sun_path);
    memmove(to.sun_path + 1, to.sun_path, n);
    to.sun_path[0] = 0;
    if (connect(fd, (struct sockaddr *)&to, sizeof to.sun_family + 1 + n) != 0) return fail("cannot open display");
  }
  char data[256] = {0};
  int n = cookie(number, data, sizeof data);
  struct {
    uint8_t order, unused;
    uint16_t major, minor, name, data, unused2;
  } hello = {'l', 0, 11, 0, n ? 18 : 0, n, 0};
  unsigned char head[8], body[1 << 16];
  if (!put(&hello, sizeof hello) || (n && (!put("MIT-MAGIC-COOKIE-1\0", 20) || !put(data, (n + 3) & ~3)))) return fail("cannot open display");
  if (!get(head, 8) || head[0] != 1) return fail("cannot open display: it refuses us");
  size_t length = (head[6] | head[7] << 8) * 4;
  if (length > sizeof body || length < 40 || !get(body, length)) return fail("cannot open display: it makes no sense");
  size_t screen = 32 + (((body[16] | body[17] << 8) + 3) & ~3) + body[21] * 8;
  if (screen + 40 > length) return fail("cannot open display: it has no screen");
  *id = word(body + 4), *root = word(body + screen), *white = word(body + screen + 8);
  return 0;
}

static int property(uint32_t window, uint32_t atom, const char *text, uint32_t n) {
  uint32_t head[6] = {18 | (6 + (n + 3) / 4) << 16, window, atom, 31 /* STRING */, 8, n};
  char padded[256] = {0};
  if (n > sizeof padded) return 1;
  memcpy(padded, text, n);
  return put(head, sizeof head) && put(padded, (n + 3) & ~3);
}

// The program's folder has lib/libapp.so and data/, as a bundle has.
static int load_app(void) {
  char path[PATH_MAX];
  ssize_t n = readlink("/proc/self/exe", path, sizeof path - 64);
  if (n <= 0) return fail("cannot find the program");
  path[n] = 0;
  char *end = strrchr(path, '/') + 1;
  strcpy(end, "lib/libapp.so");
  void *app = dlopen(path, RTLD_NOW);
  if (!app || !dlsym(app, "_kDartIsolateSnapshotData")) return fail("cannot load lib/libapp.so");
  strcpy(end, "data/icudtl.dat");
  if (access(path, R_OK) != 0) return fail("cannot read data/icudtl.dat");
  strcpy(end, "data/flutter_assets/AssetManifest.json");
  if (access(path, R_OK) != 0) return fail("cannot read data/flutter_assets");
  return 0;
}

void fl_plugin_registrar_add(const char *plugin) { (void)plugin; }

int fl_application_run(const FlApplication *app) {
  uint32_t id = 0, root = 0, white = 0;
  if (load_app() != 0 || connect_display(&id, &root, &white) != 0) return 1;
  uint32_t window = id + 1, gc = id + 2, size = app->width | (uint32_t)app->height << 16;
  char class[128];
  int n = snprintf(class, sizeof class / 2, "%s", app->name) + 1;
  n += snprintf(class + n, sizeof class / 2, "%s", app->name) + 1;
  // CreateWindow with a background, told of exposures; CreateGC; MapWindow
  uint32_t create[] = {1 | 10 << 16, window, root, 0, size, 1 << 16, 0, 1 << 1 | 1 << 11, white, 1 << 15};
  uint32_t context[] = {55 | 5 << 16, gc, window, 1 << 2, 0x2f5bd8};
  uint32_t map[] = {8 | 2 << 16, window};
  if (!put(create, sizeof create) || !property(window, 39, app->title, strlen(app->title)) || !property(window, 67, class, n) ||
      !put(context, sizeof context) || !put(map, sizeof map))
    return fail("the display is gone");
  unsigned char event[32];
  while (get(event, sizeof event)) {
    switch (event[0] & 127) {
      case 0:
        return fail("the display refuses to show a window");
      case 1:  // the answer to GetInputFocus: the server has done all before it
        if (app->one_frame) return 0;
        break;
      case 12: {  // Expose: PolyFillRectangle, GetInputFocus
        uint32_t draw[] = {70 | 5 << 16, window, gc, 16 | 16 << 16, size / 2, 43 | 1 << 16};
        if (!put(draw, sizeof draw)) return fail("the display is gone");
      }
    }
  }
  return fail("the display is gone");
}
