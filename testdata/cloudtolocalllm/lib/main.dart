import 'dart:io';

import 'package:flutter/material.dart';

import 'package:cloudtolocalllm/config/app_config.dart';
import 'package:cloudtolocalllm/config/settings.dart';
import 'package:cloudtolocalllm/screens/settings_screen.dart';

void main() {
  WidgetsFlutterBinding.ensureInitialized();
  final home = Platform.environment['HOME'] ?? Directory.systemTemp.path;
  final settings = Settings(File('$home/.cloudtolocalllm/app.json'))..load();
  runApp(CloudToLocalLLM(settings: settings));
}

class CloudToLocalLLM extends StatelessWidget {
  const CloudToLocalLLM({super.key, required this.settings});

  final Settings settings;

  @override
  Widget build(BuildContext context) {
    return MaterialApp(
      title: AppConfig.appName,
      theme: ThemeData(colorSchemeSeed: const Color(0xff2f5bd8)),
      home: HomeScreen(settings: settings),
    );
  }
}

class HomeScreen extends StatelessWidget {
  const HomeScreen({super.key, required this.settings});

  final Settings settings;

  @override
  Widget build(BuildContext context) {
    return Scaffold(
      appBar: AppBar(
        title: const Text(AppConfig.appName),
        actions: [
          IconButton(
            icon: const Icon(Icons.settings),
            tooltip: 'Settings',
            onPressed: () => Navigator.of(context).push(
              MaterialPageRoute<void>(builder: (_) => SettingsScreen(settings: settings)),
            ),
          ),
        ],
      ),
      body: const Center(child: Text('Ask a model that runs here, or in the cloud.')),
    );
  }
}
