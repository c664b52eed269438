// The program that opens the application's window. Flutter's engine does the rest.
//
//   cloudtolocalllm                           open the window and stay
//   cloudtolocalllm --exit-after-first-frame  the same, but end once something was shown
//   cloudtolocalllm --version                 say the version
#include "flutter_linux.h"

#include <stdio.h>
#include <string.h>

#include "tray.h"

int main(int argc, char **argv) {
  FlApplication app = {.name = "cloudtolocalllm", .title = "CloudToLocalLLM", .width = 1280, .height = 720};
  for (int i = 1; i < argc; i++) {
    if (strcmp(argv[i], "--version") == 0) {
      puts("cloudtolocalllm " FLUTTER_VERSION);
      return 0;
    }
    if (strcmp(argv[i], "--exit-after-first-frame") != 0) {
      fprintf(stderr, "cloudtolocalllm: unknown option %s\n", argv[i]);
      return 2;
    }
    app.one_frame = 1;
  }
  tray_look();
  return fl_application_run(&app);
}
