// All settings are on the application's own screen, and nothing there opens another program.
import 'dart:io';

import 'package:flutter/material.dart';
import 'package:flutter_test/flutter_test.dart';

import 'package:cloudtolocalllm/config/settings.dart';
import 'package:cloudtolocalllm/screens/settings_screen.dart';

void main() {
  testWidgets('the settings screen has every section', (tester) async {
    final settings = Settings(File('${Directory.systemTemp.path}/settings_screen_test.json'));
    await tester.pumpWidget(MaterialApp(home: SettingsScreen(settings: settings)));

    expect(find.text('Settings'), findsOneWidget);
    expect(find.text('Appearance'), findsOneWidget);
    expect(find.text('LLM Provider'), findsOneWidget);
    expect(find.text('System Tray'), findsOneWidget);
    expect(find.text('Start Minimized'), findsOneWidget);
    expect(find.text('Close to Tray'), findsOneWidget);
    expect(find.text('Cloud & Sync'), findsOneWidget);
    expect(find.text('Application Information'), findsOneWidget);
    expect(find.text('Advanced Settings'), findsNothing);
  });
}
