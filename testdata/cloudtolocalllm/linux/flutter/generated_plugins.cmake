#
# Generated file, do not edit.
#

list(APPEND FLUTTER_PLUGIN_LIST
  flutter_secure_storage_linux
  screen_retriever
  tray_manager
  url_launcher_linux
  window_manager
)
