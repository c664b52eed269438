import 'dart:convert';
import 'dart:io';

/// The settings, kept in one file of the user's.
class Settings {
  Settings(this.file);

  final File file;
  Map<String, Object?> _values = {};

  /// Reads the file; one that is not there yet holds nothing.
  void load() {
    if (!file.existsSync()) return;
    _values = jsonDecode(file.readAsStringSync()) as Map<String, Object?>;
  }

  bool flag(String name) => _values[name] == true;

  String text(String name, String otherwise) => _values[name] as String? ?? otherwise;

  void set(String name, Object value) {
    _values[name] = value;
    file.parent.createSync(recursive: true);
    file.writeAsStringSync(jsonEncode(_values));
  }
}
