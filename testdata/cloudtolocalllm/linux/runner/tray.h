// The tray is a program of its own, cloudtolocalllm-tray.
#ifndef TRAY_H
#define TRAY_H

// Looks whether the tray runs. The window does not wait for it.
void tray_look(void);

#endif
