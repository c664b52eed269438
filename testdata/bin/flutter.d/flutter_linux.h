// What a runner may call of the stand-in's engine.
#ifndef FLUTTER_LINUX_H
#define FLUTTER_LINUX_H

typedef struct {
  const char *name;   // WM_CLASS
  const char *title;  // of the window
  int width, height;  // pixels
  int one_frame;      // end after the first frame was shown
} FlApplication;

// Opens the window and stays until the display goes away. Returns the exit status.
int fl_application_run(const FlApplication *app);

// Plugins call it.
void fl_plugin_registrar_add(const char *plugin);

#endif
