// A plugin of the stand-in: it registers itself, and does nothing else.
#include "flutter_linux.h"

#define TEXT(x) #x
#define NAME(x) TEXT(x)

void REGISTER(void) { fl_plugin_registrar_add(NAME(REGISTER)); }
