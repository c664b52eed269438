// The stand-in's libapp.so: the names that an ahead-of-time compiled application has, and what it was made of.
const char _kDartVmSnapshotData[] = "stand-in: no Dart VM";
const char _kDartVmSnapshotInstructions[] = "";
const char _kDartIsolateSnapshotData[] = "stand-in: sources " SOURCES;
const char _kDartIsolateSnapshotInstructions[] = "";
