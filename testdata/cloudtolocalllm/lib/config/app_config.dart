/// What the application knows of itself.
class AppConfig {
  const AppConfig._();

  static const String appName = 'CloudToLocalLLM';
  static const String appVersion = '3.2.1';
  static const String ollamaUrl = 'http://localhost:11434';
  static const String homepage = 'https://github.com/imrightguy/CloudToLocalLLM';
}
