import 'package:flutter/material.dart';

import 'package:cloudtolocalllm/config/app_config.dart';
import 'package:cloudtolocalllm/config/settings.dart';

/// All settings of the application. There is no other program for them.
class SettingsScreen extends StatefulWidget {
  const SettingsScreen({super.key, required this.settings});

  final Settings settings;

  @override
  State<SettingsScreen> createState() => _SettingsScreenState();
}

class _SettingsScreenState extends State<SettingsScreen> {
  Settings get _settings => widget.settings;

  @override
  Widget build(BuildContext context) {
    return Scaffold(
      appBar: AppBar(title: const Text('Settings')),
      body: SingleChildScrollView(
        child: Column(
          crossAxisAlignment: CrossAxisAlignment.start,
          children: [
            _section('Appearance', [_toggle('Dark Theme', 'dark_theme')]),
            _section('LLM Provider', [
              ListTile(
                title: const Text('Ollama'),
                subtitle: Text(_settings.text('ollama_url', AppConfig.ollamaUrl)),
              ),
            ]),
            _section('System Tray', [
              _toggle('Start Minimized', 'start_minimized'),
              _toggle('Close to Tray', 'close_to_tray'),
            ]),
            _section('Cloud & Sync', [_toggle('Use the Cloud Proxy', 'cloud_proxy')]),
            _section('Application Information', [
              const ListTile(title: Text('Version'), subtitle: Text(AppConfig.appVersion)),
              const ListTile(title: Text('Homepage'), subtitle: Text(AppConfig.homepage)),
            ]),
          ],
        ),
      ),
    );
  }

  Widget _section(String title, List<Widget> rows) {
    return Column(
      crossAxisAlignment: CrossAxisAlignment.start,
      children: [
        Padding(
          padding: const EdgeInsets.all(16),
          child: Text(title, style: Theme.of(context).textTheme.titleMedium),
        ),
        ...rows,
      ],
    );
  }

  Widget _toggle(String title, String name) {
    return SwitchListTile(
      title: Text(title),
      value: _settings.flag(name),
      onChanged: (on) => setState(() => _settings.set(name, on)),
    );
  }
}
